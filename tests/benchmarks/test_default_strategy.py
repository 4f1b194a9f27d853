"""Searches that share trials have the same results as single ones."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import typer

from benchmarks import default_strategy
from benchmarks.default_strategy import RememberingWorker, search
from search.strategies.strategy import Observation, Proposal, Task
from spaces.plan import Plan
from tests.search.pretend import PretendWorker, problem_of, settings_in
from workers.requests import Rung, TrialRequest
from workers.trial import Worker

PLAN = Plan.parse("..f....b..a.")
PROBED = Plan.parse("..a.fp.b")


def request_of(plan: Plan, *, margins: bool = True, importance: bool = False, **values: int) -> TrialRequest:
    rungs = (
        Rung(questions=8, margins=margins, importance=importance),
        Rung(tuning_steps=1, questions=8),
        Rung(tuning_steps=2, questions=16),
    )
    return TrialRequest(plan=json.loads(plan.to_json()), rungs=rungs, threads=1, **values)


@pytest.mark.slow
def test_what_one_search_stopped_another_goes_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = RememberingWorker()
    trial = worker.rungs(request_of(PLAN, margins=False, seed=5))
    stopped = next(trial)
    trial.close()
    reports = list(worker.rungs(request_of(PLAN, seed=7)))
    assert reports[0] is stopped and stopped.margins is not None, "for strategies that read them"
    alone = list(Worker().rungs(request_of(PLAN)))
    assert [report.scores for report in reports] == [report.scores for report in alone]
    assert reports[0].margins == alone[0].margins

    monkeypatch.setattr(Worker, "rungs", lambda *_: pytest.fail("nothing is left to run"))
    assert list(worker.rungs(request_of(PLAN, first_rung=1, seed=9))) == reports[1:]


@pytest.mark.slow
def test_gates_are_those_of_every_searchs_seed() -> None:
    worker, dense = RememberingWorker(), Plan.dense(12)
    first, second = (next(worker.rungs(request_of(dense, importance=True, seed=seed))) for seed in (0, 1))
    assert first.importance != second.importance and first.scores == second.scores


@pytest.mark.slow
def test_a_strategy_that_reads_importance_is_given_it_after_one_that_does_not() -> None:
    worker, dense = RememberingWorker(), Plan.dense(12)
    assert next(worker.rungs(request_of(dense))).importance is None
    assert next(worker.rungs(request_of(dense, importance=True))).importance is not None


class SecondThoughts:
    """Tries a plan as a probe, then goes on with it, then samples."""

    def __init__(self, task: Task) -> None:
        self.space = task.space

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        tried = [trial for trial in history if trial.plan == PROBED]
        if not tried:
            return Proposal(PROBED, "probe", probe=True)
        if tried[0].state == "stopped":
            return Proposal(PROBED, "goes on", resumes=tried[0].number)
        return Proposal(self.space.sample(rng), "random")


def test_compute_is_that_of_full_trials_of_the_dense_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default_strategy.Problem, "resolve", staticmethod(problem_of))
    monkeypatch.setattr("search.loop.open_run.load_strategy", lambda _, task: SecondThoughts(task))
    settings = settings_in(tmp_path / "run", budget=24, strategy="random", keep_fraction=1)
    worker = PretendWorker()
    found = search(settings, worker)  # type: ignore[arg-type]
    plans = [request.plan for request in worker.requests[:24]]  # the final front follows
    assert plans.count(PROBED) == 2 and found.full == 23
    ratios = [problem_of(settings).ratio(plan) for plan in set(plans)]
    assert found.computes == pytest.approx((sum(ratios),)), "a full trial costs its FLOPs, in one go or in two"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"strategies": "random,guidde"}, "did you mean 'guided'"),
        ({"rungs": "0:256,ten"}, "got 'ten'"),
        ({"budget": 0}, "got 0"),
        ({"keep_fraction": 1.5}, "got 1.5"),
    ],
)
def test_mistakes_are_told_before_anything_is_run(
    wrong: dict[str, str | int], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default_strategy, "hand_made", lambda *_: pytest.fail("takes minutes"))
    with pytest.raises(typer.BadParameter, match=said):
        default_strategy.main(**wrong)  # type: ignore[arg-type]
