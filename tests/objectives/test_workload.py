"""The workload as a value: integers stay integers, invalid numbers are refused."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.workload import Workload, WorkloadError

TOKENS = {"visual_tokens": 16, "text_tokens": 9, "generated_tokens": 2}
amounts = st.integers(0, 10_000) | st.floats(0, 1e4)


@given(amounts, amounts.filter(bool), amounts, amounts, st.integers(1, 64))
def test_dict_round_trips_through_json(visual, text, generated, images, batch):
    load = Workload(visual_tokens=visual, text_tokens=text, generated_tokens=generated, images=images, batch=batch)
    assert Workload.from_dict(json.loads(json.dumps(load.to_dict()))) == load


def test_numbers_without_a_fraction_are_int():
    load = Workload(visual_tokens=16.0, text_tokens=np.float32(9), generated_tokens=np.int64(2), images=np.float64(1.5))
    assert (load.visual_tokens, load.text_tokens, load.generated_tokens, load.images) == (16, 9, 2, 1.5)
    assert [type(v) for v in load.to_dict().values()] == [int, int, int, float, int]


def test_defaults():
    load = Workload(**TOKENS)
    assert (load.images, load.batch) == (1, 1)
    assert load.to_dict() == TOKENS | {"images": 1, "batch": 1}


def test_prompt_and_steps():
    assert Workload(**TOKENS).prompt_tokens == 25
    assert Workload(**TOKENS).decode_steps == 1
    assert Workload(**(TOKENS | {"generated_tokens": 0})).decode_steps == 0
    assert Workload(**(TOKENS | {"generated_tokens": 0.5})).decode_steps == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"text_tokens": -1},
            "text_tokens of a workload must be finite and not negative, got -1: give a count",
        ),
        (
            {"text_tokens": math.nan},
            "text_tokens of a workload must be finite and not negative, got nan: give a count",
        ),
        (
            {"visual_tokens": math.inf},
            "visual_tokens of a workload must be finite and not negative, got inf: ",
        ),
        ({"images": "2"}, "images of a workload must be a number, got '2': give a count or a mean"),
        ({"images": None}, "images of a workload must be a number, got None: give a count or a mean"),
        ({"batch": True}, "batch of a workload must be a number, got True: give a count or a mean"),
        ({"batch": 0}, "batch of a workload must be a whole number from 1, got 0: use batch=1"),
        ({"batch": 1.5}, "batch of a workload must be a whole number from 1, got 1.5: use batch=1"),
        (
            {"visual_tokens": 0, "text_tokens": 0},
            "a workload must have at least one prompt token, got none: ",
        ),
        ({"tokens": 3}, "unknown key 'tokens' in a workload: the keys are visual_tokens, text_tokens, "),
    ],
)
def test_wrong_workload_is_refused(change, message):
    with pytest.raises(WorkloadError) as caught:
        Workload.from_dict(TOKENS | change)
    assert message in str(caught.value)


def test_missing_field_is_refused():
    with pytest.raises(WorkloadError) as caught:
        Workload.from_dict({"visual_tokens": 16, "text_tokens": 9})
    assert "got none for generated_tokens: add it" in str(caught.value)


def test_counted_flops_of_zero_are_kept():
    workload = Workload(visual_tokens=4, text_tokens=3, generated_tokens=2, vision_flops=0, projector_flops=0)
    assert workload.to_dict()["projector_flops"] == 0
    assert Workload.from_dict(workload.to_dict()) == workload
