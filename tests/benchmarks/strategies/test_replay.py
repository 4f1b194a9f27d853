"""A replay follows the rules of a search and counts the compute of its trials."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.strategies import compute as counting
from benchmarks.strategies.compute import compute, compute_to_reach, computes, ratio_to_reach, work
from benchmarks.strategies.replay import KEEP, Climb, Recorded, Replays, Run, replay, share
from benchmarks.truth.enumerated import Truth
from objectives.objectives import MAXIMIZE
from search.strategies.guided.guided import MIN_RESUMED_GAIN
from search.strategies.promotion import goes_on
from search.strategies.strategy import Proposal
from workers.evaluation.importance import DRAWS

FIRST, SECOND, THIRD = 256, 256 + 3 * 8 * 64 + 2 * 256, 512 + 3 * 17 * 64 + 256
"""256 questions; 8 of 25 steps with 8 x 8 questions, 3 passes each, and two checks; 17 steps, a check, 512 more."""


@pytest.mark.slow
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
    assert compute(truth, lazy) < 0.75 * compute(truth, eager)
    assert work(truth.landscape.rungs).tolist() == [FIRST, SECOND, THIRD]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_as_many_trials_have_the_front_of_full_ones_for_a_third_of_the_compute(seed: int) -> None:
    truth = Truth.load("rungs7")
    lazy, eager = (replay(truth, "guided", 200, seed, keep) for keep in (KEEP, 1.0))
    assert share(truth, lazy.counted()) >= share(truth, eager.counted()) - counting.WITHIN
    assert compute(truth, lazy) <= compute(truth, eager) / 3
    added = [float(origin.split()[-1]) for origin in lazy.origins if origin.startswith("goes on with")]
    block = (truth.flops_ratio.max() - truth.flops_ratio.min()) / truth.landscape.searched.num_blocks
    assert added and min(added) >= MIN_RESUMED_GAIN * block, "what adds little is not worth a full trial's compute"


def test_a_replay_repeats_itself_and_spends_its_budget() -> None:
    truth = Truth.load("blocks12")
    first, again = (replay(truth, "evolution", 40, 3) for _ in range(2))
    assert first.rows == again.rows
    assert len(set(first.rows)) == 40
    assert first.origins[0] == "baseline dense"


def made_up(
    rows: list[int], reached: list[int], went_on_from: list[int] | None = None, strategy: str = "random"
) -> Run:
    full = tuple(rungs == 3 for rungs in reached)
    known = tuple(went_on_from or [0] * len(rows))
    return Run(strategy, 0, len(rows), tuple(rows), tuple(reached), full, known, ("",) * len(rows), (0.0,) * len(rows))


def flat(truth: Truth) -> Truth:
    """The table with the same cost for all plans but the last."""
    return replace(truth, flops_ratio=np.array([1.0] * (len(truth.plans) - 1) + [0.5]))


def test_a_resumed_trial_tunes_anew_but_answers_the_questions_of_new_rungs_alone() -> None:
    truth = flat(Truth.load("rungs4"))
    last = len(truth.plans) - 1
    run = made_up([3, 4, 3, last, last], [1, 2, 3, 2, 3], went_on_from=[0, 0, 1, 0, 2])
    again = 512 + 3 * 25 * 64 + 2 * 256
    assert computes(truth, run).tolist() == [
        FIRST,
        FIRST + SECOND,
        SECOND + THIRD,
        0.5 * (FIRST + SECOND),
        0.5 * again,
    ]
    assert compute(truth, run) == computes(truth, run).sum()


def test_signals_that_a_strategy_reads_cost_compute() -> None:
    truth = flat(Truth.load("rungs4"))
    last = len(truth.plans) - 1
    trials = [0, 3, 3, last], [3, 1, 3, 1], [0, 0, 1, 0]
    extra = computes(truth, made_up(*trials, strategy="guided")) - computes(truth, made_up(*trials, strategy="greedy"))
    assert extra.tolist() == [(1 + 5 * DRAWS) * 256, 256, 0, 0.5 * 256], (
        "the importance once, no rung's likelihood twice"
    )


def test_a_resumed_trial_takes_up_the_rungs_known_and_ends_at_the_last() -> None:
    truth = Truth.load("rungs4")
    climb, history = Climb(truth, KEEP, 0, reads=()), Recorded()
    for number, row in enumerate((0, *truth.front()[:3], *range(250, 256))):
        history.add(climb.run(number, Proposal(truth.plans[row], "")))
    stopped = next(trial for trial in history.trials if len(trial.accuracies) == 1)
    number, again = len(history), Proposal(stopped.plan, "", resumes=stopped.number)
    trial = climb.run(number, again, stopped.accuracies)
    history.add(trial)
    assert trial.full and trial.accuracies == truth.climb(truth.row(stopped.plan))
    of_plan = [seen for seen in history.observations() if seen.plan == stopped.plan]
    assert of_plan == [trial], "the strategy sees the plan once, with all of its rungs"
    assert len(climb.peers[0]) == number, "a rung is a peer once"


class Resuming:
    """A strategy that resumes the first trial that was stopped, then samples."""

    def __init__(self, task) -> None:  # type: ignore[no-untyped-def]
        self.space = task.space

    def ask(self, history, rng) -> Proposal:  # type: ignore[no-untyped-def]
        stopped = [trial for trial in history if trial.state == "stopped"]
        if len(history) > 20 and stopped and not any(trial.origin == "again" for trial in history):
            return Proposal(stopped[0].plan, "again", resumes=stopped[0].number)
        return Proposal(self.space.sample(rng), "sample")


def test_a_replay_notes_from_which_rung_a_trial_went_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.strategies.replay.load_strategy", lambda _, task: Resuming(task))
    run = replay(Truth.load("rungs4"), "resuming", 40, 0)
    place = run.origins.index("again")
    before = run.rows.index(run.rows[place])
    assert before < place and run.reached[before] < 3
    assert run.went_on_from[place] == run.reached[before] and run.full[place]
    assert sum(run.went_on_from) == run.went_on_from[place], "no other trial went on"


def test_compute_to_reach_ends_with_the_first_full_trial_that_has_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = flat(Truth.load("rungs4"))
    shares = {(): 0.0, (1,): 0.5, (1, 2): 0.8, (1, 2, 5): 0.83, (7, 8): 0.81, (7,): 0.2}
    monkeypatch.setattr(counting, "share", lambda _, rows: shares[tuple(rows)])
    whole = FIRST + SECOND + THIRD
    run = made_up([1, 3, 2, 5], [3, 1, 3, 3])
    assert compute_to_reach(truth, run, 0.5) == whole
    assert compute_to_reach(truth, run, 0.8) == 2 * whole + FIRST
    assert compute_to_reach(truth, run, 0.9) == float("inf")
    full = made_up([7, 8], [3, 3])
    assert ratio_to_reach(truth, run, full) == pytest.approx((2 * whole + FIRST) / (2 * whole)), (
        "0.80 is 0.81 less 0.01"
    )
    assert ratio_to_reach(truth, full, run) == float("inf")
    assert ratio_to_reach(truth, full, full) == 1.0, "0.80 is not there before the last trial"


def untimed(run: Run) -> Run:
    return replace(run, seconds=())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["guided", "evolution"])
def test_searches_that_begin_alike_are_replayed_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, replayed = Truth.load("rungs4"), []

    def noted(table: Truth, strategy: str, budget: int, *rest: float) -> Run:
        replayed.append(budget)
        return replay(table, strategy, budget, *rest)

    monkeypatch.setattr("benchmarks.strategies.replay.replay", noted)
    replays = Replays(truth, name, 1)
    budgets = (90, 80, 70, 25)  # with 25 trials there are fewer patterns, and no scan
    for budget in budgets:
        assert untimed(replays.with_budget(budget)) == untimed(replay(truth, name, budget, 1))
    assert replayed == ([90, 25] if name == "guided" else [*budgets])
    eager = replays.with_budget(80, keep_fraction=1.0)
    assert untimed(eager) == untimed(replay(truth, name, 80, 1, 1.0))
    assert replayed[-1] == 80, "what is promoted otherwise is another search"
