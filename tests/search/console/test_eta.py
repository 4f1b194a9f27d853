"""The estimate of the remaining time, before the first trial has ended and with several workers."""

import pytest

from search.console import eta as pace
from search.console.eta import TrialPace, spent_once


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def run(trials: TrialPace, clock: Clock, number: int, is_full: bool, is_baseline: bool, at_once: int = 1) -> None:
    """Trials of 1 s to the first rung and 10 s to the last."""
    seconds = 10.0 if is_full else 1.0
    for _ in range(number):
        clock.now += seconds / at_once
        trials.first_rung(1.0)
        trials.ended(seconds, 0.0, is_full, is_baseline)


@pytest.mark.parametrize("at_once", [1, 4])
def test_baselines_say_little_of_what_follows(clock: Clock, at_once: int) -> None:
    trials = TrialPace(1 / 3, begin=clock.now)
    run(trials, clock, 10, is_full=True, is_baseline=True, at_once=at_once)
    truth = (40 * 10 + 150 * (10 + 2 * 1) / 3) / at_once
    assert trials.seconds_for(40, 150) == pytest.approx(truth), "the pace so far would say 1900 s"


def test_what_is_seen_outweighs_what_is_usual(clock: Clock) -> None:
    trials = TrialPace(1 / 3, begin=clock.now)
    run(trials, clock, 5, is_full=True, is_baseline=True)
    run(trials, clock, 100, is_full=False, is_baseline=False)
    usual = (0 + 5 / 3) / 105
    assert trials.seconds_for(0, 50) == pytest.approx(50 * (1 + 9 * usual))


def test_nothing_is_said_before_a_trial_has_ended(clock: Clock) -> None:
    assert TrialPace(1 / 3, begin=clock.now).seconds_for(10, 10) == 0


def test_what_the_dense_trial_alone_measures_is_not_expected_again(clock: Clock) -> None:
    """Importance took 38 s of a dense trial of 80 s, and later trials took 42 s."""
    rung = {"load": 5.0, "evaluate": 12.0, "margins": 8.0, "importance": 38.0, "floor": 20.0}
    once = spent_once(rung)
    trials = TrialPace(1.0, begin=clock.now)
    clock.now += sum(rung.values())
    trials.first_rung(20.0)
    trials.ended(sum(rung.values()) - once, once, is_full=True, is_baseline=True)
    assert trials.seconds_for(3, 0) == pytest.approx(3 * 20.0)


def test_loading_the_model_is_not_expected_again(clock: Clock) -> None:
    trials = TrialPace(1 / 3, begin=clock.now)
    clock.now += 30.0
    trials.first_rung(1.0)
    trials.ended(10.0, 20.0, is_full=True, is_baseline=True)
    assert trials.seconds_for(5, 0) == pytest.approx(50)
