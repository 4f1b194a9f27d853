"""Stored tables equal the worker's own evaluation, plan by plan."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.strategies.replay import regret, share
from benchmarks.truth.enumerated import GATE_SEEDS, Truth
from benchmarks.truth.landscapes import LANDSCAPES
from benchmarks.truth.prefix_tree import score_all
from benchmarks.truth.tuned import measure_rungs
from spaces.block import SINGLE_OPS
from spaces.plan import Op, Plan
from workers.apply_plan import apply_plan
from workers.evaluation.evaluate import evaluate
from workers.evaluation.margins import answer_margins, nats
from workers.requests import Rung, TrialRequest
from workers.session import Session
from workers.sources import DataSource, ModelSource
from workers.trial import Worker


def steps_off(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the share of margins that differ, by one step each: float32 rounds differently at the edge of a step."""
    off = np.abs(np.subtract(one, other))
    assert off.max() <= 0.5
    return float((off > 0).mean())


UNTUNED = [name for name, landscape in LANDSCAPES.items() if len(landscape.rungs) == 1 and not landscape.grows]


@cache
def session_of(model: str) -> Session:
    torch.set_num_threads(1)
    return Session(ModelSource(name=model), DataSource())


@pytest.fixture(scope="module")
def session() -> Session:
    return session_of("embedded")


@pytest.mark.slow
@pytest.mark.parametrize("name", UNTUNED)
def test_tables_hold_what_workers_measure(name: str) -> None:
    truth, questions = Truth.load(name), LANDSCAPES[name].questions
    session = session_of(LANDSCAPES[name].model)
    assert truth.origin["fingerprints"] == session.fingerprints, "measured on another model: python -m benchmarks.truth"
    front = truth.front()
    rows = [0, *front[[1, len(front) // 2]], *np.random.default_rng(0).integers(len(truth.plans), size=3)]
    for row in rows:
        with apply_plan(session.loaded.model, truth.landscape.whole(truth.plans[row], session.shape.num_blocks)):
            for split in ("search", "test") if row == rows[2] else ("search",):
                scores = evaluate(session.loaded, session.split(split), "exact_match", questions).scores
                assert truth.accuracy(split)[row] == pytest.approx(np.mean(scores)), str(truth.plans[row])
            with_budget = answer_margins(session.loaded, session.split("search"), "exact_match", questions)
            assert steps_off(truth.margins_of(row), with_budget) < 0.01, str(truth.plans[row])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rungs7"])
def test_tables_hold_the_importance_that_workers_measure(name: str) -> None:
    truth = Truth.load(name)
    landscape = truth.landscape
    dense = Plan.dense(session_of(landscape.model).shape.num_blocks)
    plan = Plan.parse(landscape.base) if landscape.base else dense
    request = TrialRequest(
        plan=json.loads(plan.to_json()),
        model=ModelSource(name=landscape.model),
        rungs=(Rung(questions=landscape.rungs[0].questions or landscape.questions, importance=True),),
        threads=1,
        seed=3,
    )
    (report,) = Worker().rungs(request)
    questions = report.questions
    of_blocks = np.array(report.importance)[list(landscape.blocks)]
    np.testing.assert_allclose(np.array(truth.importance(3)) / questions, of_blocks, rtol=1e-3)
    kinds = [truth.only((kind,)).importance(3) for kind in truth.kinds]
    np.testing.assert_allclose(np.sum(kinds, axis=0), truth.importance(3), rtol=1e-9)
    assert len({truth.importance(seed) for seed in range(GATE_SEEDS)}) == GATE_SEEDS


@pytest.mark.slow
def test_tables_of_rungs_hold_what_workers_measure(session: Session) -> None:
    truth, worker = Truth.load("rungs4"), Worker()
    assert truth.origin["fingerprints"] == session.fingerprints, "measured on another model: python -m benchmarks.truth"
    row = int(truth.front()[0])
    plan = truth.landscape.whole(truth.plans[row], session.shape.num_blocks)
    request = TrialRequest(plan=json.loads(plan.to_json()), rungs=truth.landscape.rungs, threads=1)
    first, *others = request.rungs
    request = request.model_copy(update={"rungs": (first.model_copy(update={"margins": True}), *others)})
    reports = list(worker.rungs(request))
    measured = [report.accuracy for report in reports]
    # Tuning rounds differently on another machine, which may change an answer or two of 512.
    assert measured[0] == truth.rungs[row, 0]
    assert measured == pytest.approx(truth.rungs[row].tolist(), abs=0.02)
    assert truth.rungs[row, -1] > truth.rungs[row, 0] + 0.02, "tuning is seen"
    assert steps_off(truth.margins_of(row), reports[0].margins or ()) < 0.01


@pytest.mark.slow
def test_a_table_of_rungs_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three plans in two processes; a second run reads the stored reports."""
    monkeypatch.setattr("benchmarks.truth.enumerated.GATE_SEEDS", 1)
    small = replace(LANDSCAPES["rungs7"], blocks=(9,))
    first = measure_rungs(small, 2, tmp_path)
    partial = (tmp_path / "rungs7.jsonl").read_text()
    again = measure_rungs(small, 2, tmp_path)
    assert (tmp_path / "rungs7.jsonl").read_text() == partial and len(partial.splitlines()) == 3
    whole = Truth.load("rungs7")
    for row, plan in enumerate(first.plans):
        place = whole.index[Plan.of([*[Op.KEEP] * 6, *plan.ops])]
        # the stored table was measured on a GPU
        assert first.rungs[row] == pytest.approx(whole.rungs[place], abs=0.02)
        assert steps_off(first.margins_of(row), whole.margins_of(place)) < 0.01
    assert (first.points("test") == again.points("test")).all() and (first.rungs == again.rungs).all()
    assert set(first.right) == {"search", "test"}


@pytest.mark.slow
def test_enumeration_scores_every_question_under_every_op(session: Session) -> None:
    choices = [(Op.KEEP,)] * session.shape.num_blocks
    choices[2], choices[11] = tuple(SINGLE_OPS), tuple(SINGLE_OPS)
    prepared = session.split("search")
    right, margins = score_all(session.loaded, prepared, 48, choices)
    assert right.shape == margins.shape == (25, 48)
    for row, (first, last) in enumerate((a, b) for a in SINGLE_OPS for b in SINGLE_OPS):
        plan = Plan.dense(session.shape.num_blocks).replace(2, first).replace(11, last)
        with apply_plan(session.loaded.model, plan):
            scores = evaluate(session.loaded, prepared, "exact_match", 48).scores
            expected = answer_margins(session.loaded, prepared, "exact_match", 48)
        assert steps_off(nats(margins[row]).tolist(), expected) < 0.03, str(plan)
        assert right[row].tolist() == [score == 1.0 for score in scores], str(plan)


def test_a_table_comes_back_as_it_was_stored(tmp_path) -> None:  # type: ignore[no-untyped-def]
    truth = Truth.load("blocks12")
    truth.save(tmp_path)
    again = Truth.load("blocks12", tmp_path)
    assert again.origin == truth.origin
    assert (again.points("test") == truth.points("test")).all()
    assert (again.points("search") == truth.points("search")).all()
    assert (again.margins == truth.margins).all() and (again.asked == truth.asked).all()


def test_the_front_is_what_nothing_beats() -> None:
    truth = Truth.load("blocks12")
    points = truth.points("search")
    front = truth.front()
    for row in (*front, 17, 4000):
        better = (points[:, 0] >= points[row, 0]) & (points[:, 1] <= points[row, 1])
        better &= (points[:, 0] > points[row, 0]) | (points[:, 1] < points[row, 1])
        assert better.any() == (row not in front)
    assert share(truth, front.tolist()) == pytest.approx(1.0)
    assert share(truth, [0]) == 0.0
    assert regret(truth, [0]) == 1.0


def test_one_kind_of_question_is_a_landscape_of_its_own() -> None:
    truth = Truth.load("blocks12")
    parts = [truth.only((kind,)).accuracy("search") for kind in truth.kinds]
    assert np.mean(parts, axis=0) == pytest.approx(truth.accuracy("search"))
    for kind in truth.kinds:
        part = truth.only((kind,))
        assert np.mean(np.array(part.margins_of(77)) > 0) == pytest.approx(part.accuracy("search")[77])
    assert sum(len(truth.only((kind,)).margins_of(77)) for kind in truth.kinds) == len(truth.margins_of(77))
    pair = truth.only(truth.kinds[2:4])
    assert np.mean(np.array(pair.margins_of(77)) > 0) == pytest.approx(pair.accuracy("search")[77])
    assert set(pair.asked) == {0, 1}
    assert len({tuple(truth.only((kind,)).front()) for kind in truth.kinds}) > 3
