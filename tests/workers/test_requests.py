"""A request holds values; its JSON has the form that databases of earlier searches hold."""

import json

import pytest
from pydantic import ValidationError

from objectives.workload import Workload
from spaces.plan import Plan
from workers.requests import TrialRequest

PLAN = '{"schema":1,"blocks":[{"op":"keep"},{"op":"skip_attn","scope":"visual"}],"pruning":null}'
WORKLOAD = '{"visual_tokens":16.0,"text_tokens":9.0,"generated_tokens":2.375,"images":1.0,"batch":1.0}'


def test_stored_json_becomes_values_and_is_written_as_it_was() -> None:
    request = TrialRequest.model_validate_json(f'{{"plan": {PLAN}, "workload": {WORKLOAD}}}')
    assert request.plan == Plan.parse(".av")
    assert request.workload == Workload(visual_tokens=16, text_tokens=9, generated_tokens=2.375)
    written = request.model_dump_json()
    assert f'"plan":{PLAN}' in written and f'"workload":{WORKLOAD}' in written
    assert json.dumps(request.model_dump(mode="json"), separators=(",", ":")) == written
    assert TrialRequest.model_validate_json(written) == request


def test_values_are_taken_as_they_are() -> None:
    plan = Plan.parse("..")
    assert TrialRequest(plan=plan).plan is plan
    assert TrialRequest(plan=plan).workload is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"plan": ".a"},
        {"plan": None},
        {"plan": {"schema": 1, "blocks": [{"op": "jump"}]}},
        {"workload": [16, 9]},
        {"workload": {"visual_tokens": 16}},
    ],
)
def test_what_is_no_plan_or_workload_is_refused_at_its_field(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        TrialRequest.model_validate({"plan": json.loads(PLAN), **wrong})
    (error,) = caught.value.errors()
    assert error["loc"] == tuple(wrong) and "\n" not in error["msg"]
