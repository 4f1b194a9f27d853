"""The stored truth is the truth: checked against the worker's own evaluation, plan by plan."""

import json
from functools import cache

import numpy as np
import pytest
import torch

from benchmarks.enumeration import score_all
from benchmarks.landscapes import LANDSCAPES
from benchmarks.replay import regret, share
from benchmarks.truth import Truth
from spaces.block import SINGLE_OPS
from spaces.plan import Op, Plan
from workers.apply_plan import apply_plan
from workers.evaluate import evaluate
from workers.requests import DataSource, ModelSource, TrialRequest
from workers.session import Session
from workers.trial import Worker

UNTUNED = [name for name, landscape in LANDSCAPES.items() if len(landscape.rungs) == 1 and not landscape.grows]


@cache
def session_of(model: str) -> Session:
    torch.set_num_threads(1)
    return Session(ModelSource(name=model), DataSource())


@pytest.fixture(scope="module")
def session() -> Session:
    return session_of("embedded")


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


def test_tables_of_rungs_hold_what_workers_measure(session: Session) -> None:
    truth, worker = Truth.load("rungs4"), Worker()
    assert truth.origin["fingerprints"] == session.fingerprints, "measured on another model: python -m benchmarks.truth"
    row = int(truth.front()[0])
    plan = truth.landscape.whole(truth.plans[row], session.shape.num_blocks)
    request = TrialRequest(plan=json.loads(plan.to_json()), rungs=truth.landscape.rungs, threads=1)
    measured = [report.accuracy for report in worker.rungs(request)]
    # Tuning on another machine may round otherwise, and an answer or two of 512 with it.
    assert measured[0] == truth.rungs[row, 0]
    assert measured == pytest.approx(truth.rungs[row].tolist(), abs=0.02)
    assert truth.rungs[row, -1] > truth.rungs[row, 0] + 0.02, "tuning is seen"


def test_enumeration_scores_every_question_under_every_op(session: Session) -> None:
    choices = [(Op.KEEP,)] * session.shape.num_blocks
    choices[2], choices[11] = tuple(SINGLE_OPS), tuple(SINGLE_OPS)
    prepared = session.split("search")
    right = score_all(session.loaded, prepared, 48, choices)
    assert right.shape == (25, 48)
    for row, (first, last) in enumerate((a, b) for a in SINGLE_OPS for b in SINGLE_OPS):
        plan = Plan.dense(session.shape.num_blocks).replace(2, first).replace(11, last)
        with apply_plan(session.loaded.model, plan):
            scores = evaluate(session.loaded, prepared, "exact_match", 48).scores
        assert right[row].tolist() == [score == 1.0 for score in scores], str(plan)


def test_a_table_comes_back_as_it_was_stored(tmp_path) -> None:  # type: ignore[no-untyped-def]
    truth = Truth.load("blocks12")
    truth.save(tmp_path)
    again = Truth.load("blocks12", tmp_path)
    assert again.origin == truth.origin
    assert (again.points("test") == truth.points("test")).all()
    assert (again.points("search") == truth.points("search")).all()


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
    assert len({tuple(truth.only((kind,)).front()) for kind in truth.kinds}) > 3
