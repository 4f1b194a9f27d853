"""Likelihoods of given answers, and the metrics on them, against the plain forward of the model from pixels."""

from dataclasses import replace

import pytest
import torch

from spaces.plan import Plan
from tests.workers.tiny import tiny_samples
from workers.apply_plan import apply_plan
from workers.evaluation.evaluate import evaluate
from workers.evaluation.likelihood import answer_log_probs
from workers.inference.check_finite import NonFinite
from workers.inference.prepare import prepare
from workers.models.prompt_forms import conversation

CHOICES = ("red", "blue", "one two", "blue red one")


def brute_force(loaded, sample, text):
    """Log-probabilities of the answer's tokens by one unpacked pass over prompt, picture and answer."""
    inputs = loaded.processor.apply_chat_template(
        [conversation(sample.question, sample.image)],
        add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
    )  # fmt: skip
    answer = torch.tensor([[*loaded.processor.tokenizer(text, add_special_tokens=False).input_ids, 2]])
    ids = torch.cat([inputs["input_ids"], answer], dim=1)
    with torch.no_grad():
        logits = loaded.model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits[0]
    start, said = inputs["input_ids"].shape[1], logits.log_softmax(-1)
    return [said[start - 1 + place, token].item() for place, token in enumerate(answer[0])]


@pytest.fixture(scope="module")
def choosing(loaded):
    """Twelve questions on four images with two to four options each, answers not in the order of the options."""
    samples = [
        replace(sample, choices=CHOICES[: 2 + number % 3], answers=(CHOICES[number % 2],))
        for number, sample in enumerate(tiny_samples("search")[:12])
    ]
    return prepare(loaded, samples)


@pytest.mark.parametrize("plan", ["....", "af.b"])
def test_log_probabilities_equal_those_of_the_plain_forward(loaded, choosing, plan):
    asked = [(index, text) for text in CHOICES for index in (5, 0, 11, 0)]
    with apply_plan(loaded.model, Plan.parse(plan)):
        said = answer_log_probs(loaded, choosing, asked)
        for (index, text), values in zip(asked, said, strict=True):
            # sums in another order: packs against single rows, in float32
            assert values == pytest.approx(brute_force(loaded, choosing.samples[index], text), abs=2e-4)


def test_choice_takes_the_likeliest_per_character(loaded, choosing):
    result = evaluate(loaded, choosing, "choice")
    for sample, answer, score in zip(choosing.samples, result.answers, result.scores, strict=True):
        likely = {text: sum(brute_force(loaded, sample, text)[:-1]) / len(text) for text in sample.choices}
        assert answer == max(likely, key=likely.get)
        assert score == (answer == sample.answers[0])
    assert 0 < result.accuracy < 1, "the test would not see a constant score"


def test_loss_is_the_likelihood_per_token(loaded, prepared):
    result = evaluate(loaded, prepared, "loss", 7)
    expected = [
        torch.tensor(brute_force(loaded, sample, sample.answers[0])).mean().exp().item()
        for sample in prepared.samples[:7]
    ]
    assert result.scores == pytest.approx(expected, rel=1e-3)
    assert result.answers == tuple(sample.answers[0] for sample in prepared.samples[:7])


def test_a_model_that_computes_no_numbers_fails(loaded, choosing):
    weight = loaded.model.get_input_embeddings().weight
    before = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.fill_(float("nan"))
        with pytest.raises(NonFinite):
            evaluate(loaded, choosing, "choice")
    finally:
        with torch.no_grad():
            weight.copy_(before)
