"""Predictions from a table of times, against sums worked out by hand."""

import json

import pytest

from objectives.latency import LatencyError, Seconds, TimeTable, check_times
from objectives.workload import Workload
from spaces.plan import Block, Op, Plan

PAIR = Block(Op.PAIR)
TABLE = TimeTable(
    workload=Workload(visual_tokens=4, text_tokens=8, generated_tokens=11),
    vision=0.5,
    dense=Seconds(4.0, 0.2),
    kinds=(0, 1, 0, 0),
    changes={
        ((0,), Block(Op.SKIP_BLOCK)): Seconds(-1.0, -0.05),
        ((1,), Block(Op.SKIP_BLOCK)): Seconds(-0.25, -0.01),
        ((0,), Block.named("skip_attn:visual")): Seconds(-0.5, 0.0),
        ((0, 0), PAIR): Seconds(-0.125, 0.02),
    },
)


@pytest.mark.parametrize(
    ("plan", "prefill", "decode"),
    [("....", 4.0, 0.2), ("b...", 3.0, 0.15), (".b..", 3.75, 0.19), ("bb.av", 2.25, 0.14), ("..()", 3.875, 0.22)],
)
def test_a_prediction_is_the_dense_time_with_the_changes_of_the_blocks(plan, prefill, decode):
    found = TABLE.predict(Plan.parse(plan))
    assert (found.vision, found.prefill, found.decode) == pytest.approx((0.5, prefill, decode))
    assert found.total == pytest.approx(0.5 + prefill + 10 * decode)  # the prefill gives the first of 11 tokens


def test_an_op_that_was_not_measured_is_refused():
    with pytest.raises(LatencyError, match=r"got 'skip_ffn' at block 2 of '\.\.f\.', which was not measured"):
        TABLE.predict(Plan.parse("..f."))
    with pytest.raises(LatencyError, match="got 'pair' at block 0"):  # pairs of kinds 0 and 1 have times of their own
        TABLE.predict(Plan.parse("().."))


def test_a_table_round_trips_through_json():
    assert TimeTable.from_dict(json.loads(json.dumps(TABLE.to_dict()))) == TABLE


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_times_that_are_none_are_refused(seconds):
    table = TimeTable(TABLE.workload, 0.0, Seconds(1.0, seconds), (0,), {})
    with pytest.raises(LatencyError, match="the decode step of the dense model must take a positive time"):
        check_times(table)
