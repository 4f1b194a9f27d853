"""Margins of the answers of a plan, against the logits of the model's own `generate`."""

from typing import Any

import pytest
import torch

from spaces.plan import Plan
from workers.apply_plan import apply_plan
from workers.requests import TrialRequest
from workers.routing.answer import answer_margins_of, answer_split
from workers.session import Session
from workers.sources import DataSource


@pytest.fixture(scope="module")
def session(tiny_source: Any) -> Session:
    return Session(tiny_source, DataSource(name="tiny"))


def test_a_margin_is_the_smallest_lead_of_a_generated_token(session: Session, tiny_source: Any) -> None:
    plan = Plan.parse(".a..")
    request = TrialRequest(plan=plan, model=tiny_source, data=DataSource(name="tiny"), metric="exact_match")
    margins, answers = answer_margins_of(session, request, "test"), answer_split(session, request, "test").answers
    loaded, samples = session.loaded, session.split("test").samples
    assert len(margins) == len(samples)
    for index in range(6):
        tokens = loaded.answer_tokens(answers[index])
        inputs = loaded.prompt_encoder.inputs([samples[index].question], [samples[index].images])
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([tokens[:-1]], dtype=torch.long)], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        with torch.no_grad(), apply_plan(loaded.model, plan):
            logits = loaded.model(**inputs).logits[0, -len(tokens) :]
        right = logits.gather(1, torch.tensor(tokens)[:, None])[:, 0]
        others = logits.scatter(1, torch.tensor(tokens)[:, None], -torch.inf).amax(1)
        assert margins[index] == pytest.approx(float((right - others).min()), abs=1e-4)


def test_the_model_is_left_as_it_was(session: Session, tiny_source: Any) -> None:
    before = {name: weight.clone() for name, weight in session.loaded.weights.items()}
    request = TrialRequest(plan=Plan.parse("b..."), model=tiny_source, data=DataSource(name="tiny"))
    first = answer_split(session, request, "test")
    assert all(torch.equal(weight, before[name]) for name, weight in session.loaded.weights.items())
    assert answer_split(session, request, "test") == first


def test_a_metric_of_likelihoods_has_no_margins_of_answers(session: Session, tiny_source: Any) -> None:
    request = TrialRequest(plan=Plan.parse("...."), model=tiny_source, data=DataSource(name="tiny"), metric="loss")
    with pytest.raises(ValueError, match="leave --cascade out"):
        answer_margins_of(session, request, "test")
