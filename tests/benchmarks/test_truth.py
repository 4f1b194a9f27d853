"""The stored truth is the truth: checked against the worker's own evaluation, plan by plan."""

import json

import numpy as np
import pytest
import torch

from benchmarks.enumeration import score_all
from benchmarks.landscapes import LANDSCAPES
from benchmarks.replay import KEEP, compute, regret, replay, share
from benchmarks.rung_truth import work
from benchmarks.truth import Truth
from search.goals import MAXIMIZE
from search.promotion import goes_on
from spaces.block import SINGLE_OPS
from spaces.plan import Op, Plan
from workers.apply_plan import apply_plan
from workers.evaluate import evaluate
from workers.requests import DataSource, ModelSource, TrialRequest
from workers.session import Session
from workers.trial import Worker


@pytest.fixture(scope="module")
def session() -> Session:
    torch.set_num_threads(1)
    return Session(ModelSource(), DataSource())


@pytest.mark.parametrize("name", [name for name, landscape in LANDSCAPES.items() if len(landscape.rungs) == 1])
def test_tables_hold_what_workers_measure(session: Session, name: str) -> None:
    truth, questions = Truth.load(name), LANDSCAPES[name].questions
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


def test_the_default_strategy_reaches_its_goals_on_the_truth() -> None:
    truth = Truth.load("blocks12")
    for seed in range(3):
        assert share(truth, replay(truth, "guided", 50, seed).rows) >= 0.95
        assert share(truth, replay(truth, "guided", 200, seed).rows) >= 0.99
    assert share(truth, replay(truth, "random", 50, 0).rows) < 0.9


def test_a_replay_climbs_rungs_as_a_search_does() -> None:
    truth = Truth.load("rungs4")
    run = replay(truth, "evolution", 60, 1)
    assert set(run.reached) == {1, 2, 3}
    for place, (row, origin, reached) in enumerate(zip(run.rows, run.origins, run.reached, strict=True)):
        if origin.startswith("scan"):
            assert reached == 1, "a probe stops after the cheapest rung"
        elif not truth.plans[row].is_dense:
            for rung in range(min(reached, 2)):
                peers = [
                    (truth.rungs[other, rung], truth.flops_ratio[other])
                    for other, up_to in zip(run.rows[:place], run.reached[:place], strict=True)
                    if up_to > rung
                ]
                allowed = goes_on(peers, (truth.rungs[row, rung], truth.flops_ratio[row]), MAXIMIZE, KEEP)
                assert allowed == (reached > rung + 1)
    assert [row for row, up_to in zip(run.rows, run.reached, strict=True) if up_to == 3] == run.counted()


def test_rungs_save_compute() -> None:
    truth = Truth.load("rungs4")
    lazy, eager = (replay(truth, "guided", 50, 0, keep) for keep in (KEEP, 1.0))
    assert all(eager.full)
    assert compute(truth, lazy) < 0.4 * compute(truth, eager)
    # 256 questions; 8 of 25 steps with 8 x 8 questions, 3 passes each, and two checks; 17 steps, a check, 512 more.
    assert work(truth.landscape.rungs).tolist() == [256, 256 + 3 * 8 * 64 + 512, 512 + 3 * 17 * 64 + 256]


def test_a_replay_repeats_itself_and_spends_its_budget() -> None:
    truth = Truth.load("blocks12")
    first, again = (replay(truth, "evolution", 40, 3) for _ in range(2))
    assert first.rows == again.rows
    assert len(set(first.rows)) == 40
    assert first.origins[0] == "baseline dense"
