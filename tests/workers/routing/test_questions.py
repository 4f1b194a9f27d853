"""Features and costs of questions: the same from packed and plain splits, and those of the model's own inputs."""

from typing import Any

import numpy as np
import pytest
import torch

from objectives.flops import flops
from spaces.plan import Plan
from tests.workers.tiny import NUM_BLOCKS
from workers.describe import describe_model, describe_workload
from workers.inference.plain_split import PlainSplit
from workers.models.decoder_inputs import decoder_inputs
from workers.models.processor import on_device
from workers.routing.costs import question_flops
from workers.routing.questions import read_questions


@pytest.fixture(scope="module")
def questions(loaded: Any, prepared: Any) -> Any:
    return read_questions(loaded, prepared)


def test_packed_and_plain_splits_have_the_same_questions(loaded: Any, prepared: Any, questions: Any) -> None:
    plain = read_questions(loaded, PlainSplit(loaded, prepared.samples))
    assert questions.tokens == plain.tokens
    assert questions.kinds == plain.kinds
    np.testing.assert_allclose(questions.text, plain.text, atol=1e-6)
    np.testing.assert_allclose(questions.image, plain.image, atol=1e-5)


def test_text_features_are_the_mean_of_what_enters_the_decoder(loaded: Any, prepared: Any, questions: Any) -> None:
    for index, sample in enumerate(prepared.samples[:3]):
        inputs = on_device(
            loaded.prompt_encoder.inputs([sample.question], [sample.images]), loaded.device, loaded.model.dtype
        )
        with torch.no_grad():
            entered = next(each for each in decoder_inputs(loaded.model, inputs) if each.ndim == 3)[0]
        text = inputs["input_ids"][0] != loaded.image_token
        np.testing.assert_allclose(questions.text[index], entered[text].mean(0), atol=1e-6)
        assert questions.tokens[index][:2] == (int((~text).sum()), int(text.sum()))


def test_each_question_costs_what_its_own_workload_costs(tiny_source: Any, prepared: Any, questions: Any) -> None:
    shape, plans = describe_model(tiny_source), [Plan.dense(NUM_BLOCKS), Plan.parse("b" + "." * (NUM_BLOCKS - 1))]
    mean = describe_workload(tiny_source, prepared.samples)
    table = question_flops(shape, plans, questions.tokens, mean)
    for index, sample in enumerate(prepared.samples):
        own = describe_workload(tiny_source, [sample])
        assert table[index].tolist() == [flops(shape, plan, own).total for plan in plans]
    assert table[:, 0].std() > 0, "questions have different lengths"
