"""The time left counts trials that stop early, the tests of the front, and however many workers there are."""

from collections.abc import Iterator

import pytest

from search.analysis import eta
from search.analysis.eta import Pace, usually_promoted, work
from search.storage.timings import Timing

RUNGS = ({"evaluate": 1.0}, {"tune": 2.0, "evaluate": 1.0}, {"tune": 4.0, "evaluate": 2.0})
"""Seconds of every rung for the dense model: 10 s in all."""
QUESTIONS = (256, 512, 1024)


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(eta, "time", clock)
    return clock


def timings(ratio: float, rungs: int, once: dict[str, float] | None = None) -> Iterator[Timing]:
    """Yield the timings of a trial whose seconds follow its FLOPs as the model expects."""
    for number in range(rungs):
        seconds = {step: value * work(ratio) for step, value in RUNGS[number].items()}
        steps = 0 if number == 0 else 10
        yield Timing(
            "search", number, ratio, QUESTIONS[number], steps, {**seconds, **((once or {}) if not number else {})}
        )


def run(pace: Pace, clock: Clock, count: int, ratio: float = 0.42, rungs: int = 3, baseline: bool = False,
        at_once: int = 1, once: dict[str, float] | None = None) -> None:  # fmt: skip
    """Run trials, `at_once` of them side by side."""
    for first in range(0, count, at_once):
        jobs = range(first, min(first + at_once, count))
        for job in jobs:
            pace.started(job)
        measured = list(timings(ratio, rungs, once))
        clock.now += sum(sum(timing.seconds.values()) for timing in measured)
        for job in jobs:
            for timing in measured:
                pace.rung(timing)
            pace.ended(job)
            pace.trial(ratio, rungs, baseline)


@pytest.mark.parametrize("at_once", [1, 4])
def test_trials_that_stop_early_take_the_seconds_of_their_rungs(clock: Clock, at_once: int) -> None:
    pace = Pace(3, 1.0, test_questions=2048)
    run(pace, clock, 200, rungs=1, at_once=at_once)
    run(pace, clock, 200, rungs=3, at_once=at_once)
    truth = (100 * 1 + 100 * 10) * work(0.42) / at_once
    assert pace.trials_left(0, 200) == pytest.approx(truth, rel=0.02)


@pytest.mark.parametrize(("trials", "rung", "promoted"), [(66, 1, 44), (66, 2, 41), (187, 1, 83), (187, 2, 61)])
def test_the_usual_number_of_promoted_trials_is_that_of_real_searches(trials: int, rung: int, promoted: int) -> None:
    assert usually_promoted(1 / 3, rung, trials) == pytest.approx(promoted, rel=0.2)


def test_the_dense_trial_alone_predicts_cheaper_ones_without_what_is_done_once(clock: Clock) -> None:
    pace = Pace(3, keep_fraction=1.0, test_questions=1024)
    run(pace, clock, 1, ratio=1.0, baseline=True, once={"load": 5.0, "importance": 38.0, "floor": 20.0})
    assert pace.trials_left(3, 7) == pytest.approx(10 * 10 * work(0.42))


def test_what_the_first_trial_prepares_is_not_expected_of_later_ones(clock: Clock) -> None:
    """Rungs of 2 and 1 s of evaluation per 512 questions; 0.15 and 0.1 s per tuning step, of 10 and 40 steps."""
    pace, prepares = Pace(3, keep_fraction=1.0, test_questions=1024), 100.0
    evaluate, tune, steps = (1.0, 1.0, 2.0), (0.0, 1.5, 4.0), (0, 10, 50)
    for number, questions in enumerate(QUESTIONS):
        late = prepares if number < 2 else 0.0
        seconds = {
            "tune": tune[number] and tune[number] + late,
            "evaluate": evaluate[number] + (late if not number else 0.0),
        }
        pace.rung(Timing("search", number, 1.0, questions, steps[number], seconds))
    pace.trial(1.0, 3, is_baseline=True)
    assert pace.trials_left(0, 10) == pytest.approx(10 * (sum(evaluate) + sum(tune)) * work(0.42))


def test_tests_are_expected_before_the_first_has_run(clock: Clock) -> None:
    """2 s of evaluation per 1,024 questions, 6 s of tuning with a further seed."""
    pace = Pace(3, 1 / 3, test_questions=2048)
    run(pace, clock, 1, ratio=1.0, baseline=True)
    assert pace.tests_left([1.0], []) == pytest.approx(4.0)
    assert pace.tests_left([], [0.5, 0.5]) == pytest.approx(2 * (4.0 + 6.0) * work(0.5))


def test_measured_tests_replace_what_was_expected(clock: Clock) -> None:
    pace = Pace(3, 1 / 3, test_questions=2048)
    run(pace, clock, 1, ratio=1.0, baseline=True)
    pace.rung(Timing("test", 0, 1.0, 2048, 0, {"load": 3.0, "evaluate": 30.0, "latency": 2.0}))
    assert pace.tests_left([1.0, 1.0], []) == pytest.approx(64.0)


def test_the_front_is_expected_to_grow_and_every_member_to_be_tested_with_every_seed() -> None:
    pace = Pace(3, 1 / 3, test_questions=None)
    stored, tuned = pace.expected_tests(budget=100, ended=1, size=2, seeds=3)
    assert len(stored) == 1 + 20 and len(tuned) == 2 * 20, "a front of 2 sqrt(100) members and the dense model"
    stored, _ = pace.expected_tests(budget=100, ended=99, size=33, seeds=1)
    assert 33 <= len(stored) - 1 <= 34


def test_a_resumed_search_on_four_workers_has_an_eta_before_its_first_job_ends() -> None:
    pace = Pace(3, keep_fraction=1.0, test_questions=None, workers=4)
    assert not pace.is_known
    for timing in timings(1.0, rungs=3):
        pace.rung(timing)
    assert pace.is_known
    assert pace.trials_left(8, 0) == pytest.approx(8 * 10 * work(0.42) / 4)
