"""Measured times, against attention and FFN that sleep for known times."""

import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from objectives.latency import LatencyError
from spaces.plan import Block, Op, Plan
from spaces.spaces import load_space
from workers.blocks.patch import patched
from workers.evaluation import latency, time_table
from workers.evaluation.timed_passes import TimedPasses
from workers.requests import TrialRequest
from workers.session import Session

pytestmark = pytest.mark.alone
ATTENTION, FFN = 0.010, 0.005
"""Seconds that the parts of a block sleep."""
OPS = ["skip_attn", "skip_ffn"]


@pytest.fixture(scope="module")
def session(tiny_source, tiny_data):
    return Session(tiny_source, tiny_data)


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(time_table, "ROUNDS", 4)
    monkeypatch.setattr(time_table, "WARM_UP", 1)
    monkeypatch.setattr(latency, "REPEATS", 5)


@contextmanager
def sleeping(session):
    """Make every attention and FFN of the decoder sleep before it runs."""
    changes = []
    for block in session.loaded.decoder.layers:
        for module, seconds in ((block.self_attn, ATTENTION), (block.mlp, FFN)):

            def forward(*args, run=module.forward, seconds=seconds, **kwargs):
                time.sleep(seconds)
                return run(*args, **kwargs)

            changes.append((module, "forward", forward))
    with patched(changes):
        yield


def test_the_time_of_an_op_is_that_of_what_it_leaves_out(session):
    request = TrialRequest(plan=Plan.dense(4))
    space = load_space("scoped", 4, session.shape.kinds, ops=OPS, scopes=["all", "visual", "generated"])
    with sleeping(session):
        table = time_table.measure_times(session, request, [space.choices(index) for index in range(4)])
    assert set(table.changes) == {((0,), level) for level in space.choices(0) if level != Block()}
    assert table.dense.prefill > 4 * (ATTENTION + FFN)
    saved = {block.name: change for (_, block), change in table.changes.items()}
    wanted = {"skip_attn": ATTENTION, "skip_ffn": FFN}
    for name, seconds in wanted.items():
        for change in (saved[name].prefill, saved[name].decode, saved[f"{name}:generated"].decode):
            assert 0.8 * seconds < -change < 1.5 * seconds  # more than the sleep: what runs after it
        assert abs(saved[f"{name}:visual"].decode) < 0.4 * FFN  # image tokens are in the prompt
    assert table.origin["device"] == "cpu" and table.origin["processor"] and table.origin["prompt_tokens"] > 4


def test_a_pair_is_measured_on_both_its_blocks(session):
    space = load_space("scoped", 4, session.shape.kinds, ops=["skip_block"], scopes=["all"], pairs=True)
    with sleeping(session):
        table = time_table.measure_times(
            session, TrialRequest(plan=Plan.dense(4)), [space.choices(i) for i in range(4)]
        )
    assert abs(table.changes[(0, 0), Block(Op.PAIR)].prefill) < FFN  # both blocks still run
    assert abs(table.predict(Plan.parse("()()")).prefill - table.dense.prefill) < 3 * FFN


def test_speed_ups_are_those_of_the_parts_left(session):
    with sleeping(session):
        found = latency.time_against_dense(
            session, Plan.parse("bb.."), session.workload(TrialRequest(plan=Plan.dense(4)))
        )
    assert found["speedup_low"] <= found["speedup_median"] <= found["speedup_high"]
    assert found["speedup_median"] == pytest.approx(2.0, rel=0.25)
    assert found["dense_prefill_median"] > 4 * (ATTENTION + FFN)
    assert found["decode_median"] > 2 * (ATTENTION + FFN)
    assert found["total_median"] > found["prefill_median"] + found["decode_median"]


def test_the_workload_runs_as_stated(session):
    means = session.workload(TrialRequest(plan=Plan.dense(4)))
    passes = TimedPasses(session.loaded, session.samples("search"), replace(means, text_tokens=40, batch=3))
    assert passes.prompt_tokens == pytest.approx(means.visual_tokens + 40, abs=1)
    rows = []
    handle = session.loaded.head.register_forward_hook(lambda head, args, logits: rows.append(len(logits)))
    passes.turn()
    handle.remove()
    assert set(rows) == {3}
    with pytest.raises(LatencyError, match="a prompt of 5 tokens must be possible, got"):
        TimedPasses(session.loaded, session.samples("search"), replace(means, visual_tokens=4, text_tokens=1))
