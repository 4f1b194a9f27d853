"""Margins of right answers against the plain forward of the model from pixels, and what greedy decoding answers."""

import numpy as np
import pytest
import torch

from spaces.plan import Plan
from workers.apply_plan import apply_plan
from workers.evaluation.evaluate import evaluate
from workers.evaluation.margins import FARTHEST, answer_margins, coarse, nats, token_margins
from workers.models.prompt_forms import conversation, target
from workers.session import Session
from workers.sources import DataSource, ModelSource


def brute_force(loaded, sample):
    """Margins of the answer's tokens by one unpacked pass over prompt, picture and answer."""
    inputs = loaded.processor.apply_chat_template(
        [conversation(sample.question, sample.image)],
        add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
    )  # fmt: skip
    answer = [*loaded.processor.tokenizer(target(sample), add_special_tokens=False).input_ids, 2]
    ids = torch.cat([inputs["input_ids"], torch.tensor([answer])], dim=1)
    with torch.no_grad():
        logits = loaded.model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits[0]
    start = inputs["input_ids"].shape[1] - 1
    rows = [logits[start + place].tolist() for place in range(len(answer))]
    return [row[token] - max(row[:token] + row[token + 1 :]) for row, token in zip(rows, answer, strict=True)]


@pytest.mark.parametrize("plan", ["....", "af.b"])
@pytest.mark.parametrize(("metric", "of_tokens"), [("exact_match", min), ("cider", lambda own: sum(own) / len(own))])
def test_margins_equal_those_of_the_plain_forward(loaded, prepared, plan, metric, of_tokens):
    with apply_plan(loaded.model, Plan.parse(plan)):
        got = answer_margins(loaded, prepared, metric, 9)
        exact = [of_tokens(brute_force(loaded, sample)) for sample in prepared.samples[:9]]
    # within half a step, and float32 sums in another order
    assert np.abs(np.subtract(got, np.clip(exact, -FARTHEST, FARTHEST))).max() < 0.25 + 1e-3
    assert len(set(got)) > 2, "the test would not see a constant"


def test_an_answer_is_right_where_its_margin_is_above_0():
    """So says greedy decoding, token by token."""
    session = Session(ModelSource(), DataSource())
    prepared = session.split("search")
    with apply_plan(session.loaded.model, Plan.parse("..b.b..b.bb.")):
        margins = answer_margins(session.loaded, prepared, "exact_match", 64)
        scores = evaluate(session.loaded, prepared, "exact_match", 64).scores
    assert [margin > 0 for margin in margins] == [score == 1.0 for score in scores]
    assert 0 < sum(scores) < 64


def test_the_margin_of_a_token_is_its_lead_over_the_best_of_the_others():
    logits = torch.tensor([[2.0, 5.0, 1.0], [0.0, 1.0, 4.0], [3.0, 3.5, 0.0]])
    margins = token_margins(logits, torch.tensor([1, 2, 0]))
    assert margins.tolist() == [3.0, 3.0, -0.5]


def test_steps_keep_what_is_right_and_are_no_further_than_half_of_one():
    margins = np.concatenate([np.random.default_rng(0).uniform(-FARTHEST, FARTHEST, 500), [1e-6, -1e-6, 40.0, -40.0]])
    back = nats(coarse(margins))
    assert ((back > 0) == (margins > 0)).all()
    assert np.abs(back - margins)[:502].max() <= 0.25 + 1e-6
    assert back[-2:].tolist() == [FARTHEST - 0.25, 0.25 - FARTHEST]
