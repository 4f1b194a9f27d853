"""FLOPs and accuracy of each change of a plan, undone alone, against sums by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from objectives.flops import flops
from search.analysis.explain import explain, kind_losses
from search.analysis.samples import AnsweredQuestion
from search.console.explanation import contributions_text, explanation_text
from search.dispatch.op_contributions import contributions, left_out
from search.storage.find_run import open_results
from spaces.plan import Op, Plan
from tests.search.analysis.test_samples import SMALL, Talking
from tests.search.loop.test_controller import search
from tests.search.pretend import SHAPE, WORKLOAD, PretendWorker, settings_in, true_accuracy
from tests.spaces.drawn import pruned_plans
from workers.requests import TrialRequest

ANSWERED = AnsweredQuestion(
    trial=3, plan="..b.", split="test", seed=0, question_id="test-0", image="i", kind="color", question="which?",
    accepted=("red",), answer="red", score=1.0, dense_answer="red", dense_score=1.0,
)  # fmt: skip


def test_losses_per_kind_are_paired_and_the_largest_is_first() -> None:
    answered = [replace(ANSWERED, kind="color", score=score) for score in (1.0, 1.0, 0.0, 1.0)]
    answered += [replace(ANSWERED, kind="shape", score=0.0, dense_score=dense) for dense in (1.0, 0.0)]
    everything, worst, least = kind_losses(answered)
    assert (everything.kind, everything.questions) == ("", 6)
    assert (everything.dense, everything.plan) == (pytest.approx(5 / 6), pytest.approx(3 / 6))
    assert (worst.kind, worst.difference) == ("shape", -0.5)
    assert (least.kind, least.difference) == ("color", -0.25)
    assert worst.interval == (-1.0, 0.0)


@pytest.mark.filterwarnings("ignore")
def test_a_trial_is_explained_from_what_is_stored(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", **SMALL)
    records = search(settings, Talking())
    chosen = next(r for r in records if r.trial.state == "complete" and not r.plan.is_dense and r.tests)
    results = open_results(settings.run_folder, None)
    found = explain(results, chosen.trial.number, num_samples=2)
    mine, dense = flops(SHAPE, chosen.plan, WORKLOAD), flops(SHAPE, Plan.dense(len(chosen.plan)), WORKLOAD)
    assert sum(part.plan for part in found.costs) == pytest.approx(mine.total)
    assert sum(part.dense for part in found.costs) == pytest.approx(dense.total)
    test = chosen.tests[0]
    assert (found.split, found.kinds[0].plan) == ("test", pytest.approx(np.mean(test.scores)))
    assert all(each.score < each.dense_score for each in found.lost) and len(found.lost) <= 2
    assert f"Trial {chosen.trial.number}: {chosen.plan}" in explanation_text(found).plain
    for number, message in ((99, "got 99"), (next(r.trial.number for r in records if not r.on("test")), "")):
        if message:
            with pytest.raises(ValueError, match=message):
                explain(results, number, 1)
    results.close()


@given(pruned_plans())
def test_every_change_is_taken_back_alone(plan: Plan) -> None:
    seen: list[int] = []
    for blocks, text, without in left_out(plan):
        assert Plan.parse(text).blocks == tuple(plan.blocks[block] for block in blocks)
        for index, (mine, other) in enumerate(zip(plan.blocks, without.blocks, strict=True)):
            assert other == (Plan.parse(".").blocks[0] if index in blocks else mine)
        seen += blocks
    changed = [i for i, block in enumerate(plan.blocks) if block != Plan.parse(".").blocks[0]]
    assert sorted(seen) == changed


def test_contributions_are_the_differences_to_the_plan_without_one_change() -> None:
    plan, worker = Plan.parse("..b.f..a"), PretendWorker()
    found = list(contributions(TrialRequest(plan=plan, mapping_module="/stored"), 64, worker))  # type: ignore[arg-type]
    assert [each.blocks for each in found] == [(2,), (4,), (7,)]
    dense = flops(SHAPE, Plan.dense(8), WORKLOAD).total
    for each, without in zip(found, ("....f..a", "..b....a", "..b.f..."), strict=True):
        other = Plan.parse(without)
        assert each.lost == pytest.approx(true_accuracy(other) - true_accuracy(plan))
        saved = (flops(SHAPE, other, WORKLOAD).total - flops(SHAPE, plan, WORKLOAD).total) / dense
        assert each.saved == pytest.approx(saved)
    assert all(request.mapping_plan == plan for request in worker.requests[1:])
    assert "block  op" in contributions_text(found, 64).plain
    assert all(op is not Op.PAIRED for op in plan.ops)
