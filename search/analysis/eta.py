"""Predicts how long the rest of a search takes: the trials that are left, and the tests of the final front.

Seconds are kept per unit of work, where the dense model is one unit, so that the dense trial alone predicts cheaper
plans. The constants below are fitted to real searches (docs/experiments.md).
"""

import math
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from search.storage.timings import Timing

USUAL_WEIGHT = 5
"""Weight of what is usual against what is seen, as a number of observed trials."""
USUAL_RATIO = 0.42
"""Usual mean FLOPs ratio of the trials of a search."""
FIXED = 0.2
"""Part of the dense model's seconds that no plan saves."""
FRONT_GROWTH = 2.0
"""The usual front of n trials has `FRONT_GROWTH * sqrt(n)` members."""
DISTINCT = 0.65
"""Usual fraction of a front that is more accurate than a cheaper member beyond chance."""
MOST_PROMOTED, PROMOTED, DECLINE = 0.85, 3.8, 0.68
"""Of trial n of a search that keeps a third, the usual probability to reach rung 1 is `min(MOST_PROMOTED, PROMOTED /
sqrt(n))`; that of each further rung has `DECLINE` times the second number."""
PER_QUESTION, PER_STEP = 2.0, 1.5
"""Largest usual ratios of the seconds per question and per tuning step of a rung to those of the next one. The cheapest
rung measures margins and the first to tune evaluates twice; what a search prepares in its first trial comes on top."""
ONCE = ("load", "floor", "importance")
"""Steps of a trial that a worker or a search takes once, in the first trial."""


def spent_once(seconds: Mapping[str, float]) -> float:
    """Return the seconds of a rung that later trials do not spend again.

    Args:
        seconds: step -> seconds, as in a report of a rung.
    """
    return sum(seconds.get(step, 0.0) for step in ONCE)


def usually_promoted(keep_fraction: float, rung: int, trials: float) -> float:
    """Return how many of the first trials of a search usually reach a rung; baselines do not count.

    Members of the first front always continue, and there are fewer of them the more trials there are.

    Args:
        keep_fraction: fraction of the trials at a rung that continue in any case.
        rung: index of the rung.
        trials: number of trials.
    """
    if rung == 0:
        return trials
    slope = PROMOTED * DECLINE ** (rung - 1)
    early = min(trials, (slope / MOST_PROMOTED) ** 2)
    usual = MOST_PROMOTED * early + 2 * slope * (math.sqrt(trials) - math.sqrt(early))
    return max(0.05 * trials, trials - (trials - usual) * (1 - keep_fraction) / (1 - 1 / 3))


def work(flops_ratio: float) -> float:
    """Return the expected seconds of a plan over those of the dense model."""
    return FIXED + (1 - FIXED) * flops_ratio


@dataclass
class Mean:
    """A mean that starts from a usual value."""

    usual: float = 0.0
    weight: float = 0.0
    """Weight of the usual value, as a number of observations."""
    count: int = 0
    total: float = 0.0

    def add(self, value: float) -> None:
        """Add an observation."""
        self.count, self.total = self.count + 1, self.total + value

    @property
    def value(self) -> float:
        """Return the mean; the usual value where nothing was observed."""
        weights = self.weight + self.count
        return (self.weight * self.usual + self.total) / weights if weights else self.usual


@dataclass
class RungPace:
    """Seconds per unit of work of one rung, and the share of the trials that reach it."""

    tune: Mean = field(default_factory=Mean)
    evaluate: Mean = field(default_factory=Mean)
    """Seconds of everything but tuning."""
    questions: int = 1
    """Number of questions it evaluates."""
    steps: int = 0
    """Number of its tuning steps, those of earlier rungs included."""

    baselines: Mean = field(default_factory=lambda: Mean(1.0, USUAL_WEIGHT))
    """Fraction of the baselines that reach it."""
    others: int = 0
    """Number of the other trials that reached it."""


@dataclass
class Pace:
    """Speed of a search, for any number of parallel workers."""

    num_rungs: int
    keep_fraction: float
    """Fraction of the trials at a rung that continue; members of the first front always do."""
    test_questions: int | None
    """Number of questions of the test split; None where it is as large as the last rung."""
    workers: float = 1
    """Number of jobs that usually run at a time."""
    begin: float | None = None
    """Time of the first job in seconds of the monotonic clock; None before it."""
    _started: dict[Hashable, float] = field(default_factory=dict)
    """Running job -> time of its start."""
    _spent: float = 0.0
    """Seconds of all jobs that have ended, added up over the workers."""
    _tests: dict[bool, Mean] = field(default_factory=lambda: {True: Mean(), False: Mean()})
    """Seconds per unit of work of the tests that tune (True) and of those that read stored weights (False)."""

    def __post_init__(self) -> None:
        self._rungs = [RungPace() for _ in range(self.num_rungs)]
        self._others = 0
        """Number of ended trials that are no baselines."""
        self._ratio = Mean(USUAL_RATIO, USUAL_WEIGHT)

    def started(self, job: Hashable) -> None:
        """Note that a job has started; the first one starts the clock."""
        self._started[job] = time.monotonic()
        self.begin = self._started[job] if self.begin is None else self.begin

    def ended(self, job: Hashable) -> float:
        """Note that a job has ended; return its seconds."""
        seconds = self.seconds(job)
        self._started.pop(job, None)
        self._spent += seconds
        return seconds

    def seconds(self, job: Hashable) -> float:
        """Return the seconds since the start of a running job; 0 for one that was not started."""
        now = time.monotonic()
        return now - self._started.get(job, now)

    def rung(self, timing: Timing) -> None:
        """Add a finished rung of a trial, or a finished test."""
        unit, tune = work(timing.flops_ratio), timing.seconds.get("tune", 0.0)
        rest = max(0.0, sum(timing.seconds.values()) - spent_once(timing.seconds) - tune)
        if timing.split == "test":
            self._tests[timing.tuning_steps > 0].add((tune + rest) / unit)
            return
        pace = self._rungs[timing.rung]
        pace.tune.add(tune / unit)
        pace.evaluate.add(rest / unit)
        pace.questions, pace.steps = timing.questions, timing.tuning_steps

    def trial(self, flops_ratio: float, num_rungs: int, is_baseline: bool) -> None:
        """Add an ended trial.

        Args:
            flops_ratio: FLOPs ratio of its plan.
            num_rungs: number of rungs it finished.
            is_baseline: True if it is a hand-made baseline, nearly all of which reach the last rung.
        """
        if flops_ratio < 1:
            self._ratio.add(flops_ratio)
        self._others += not is_baseline
        for number, pace in enumerate(self._rungs):
            if is_baseline:
                pace.baselines.add(number < num_rungs)
            else:
                pace.others += number < num_rungs

    def _promoted(self, number: int, others: float) -> float:
        """Return how many of the next trials, which are no baselines, reach a rung."""
        usual = partial(usually_promoted, self.keep_fraction, number)
        so_far = (USUAL_WEIGHT + self._rungs[number].others) / (USUAL_WEIGHT + usual(self._others))
        return min(others, so_far * (usual(self._others + others) - usual(self._others)))

    @property
    def is_known(self) -> bool:
        """Return True if every rung was measured once, or a test has ended."""
        return all(pace.evaluate.count for pace in self._rungs) or any(mean.count for mean in self._tests.values())

    def trials_left(self, baselines: int, others: int) -> float:
        """Return the seconds that this many baselines and other trials take."""
        units = sum(
            sum(self._seconds(number)) * (baselines * pace.baselines.value + self._promoted(number, others))
            for number, pace in enumerate(self._rungs)
        )
        return units * work(self._ratio.value) * self._per_second

    def tests_left(self, stored: Sequence[float], tuned: Sequence[float]) -> float:
        """Return the seconds that tests take.

        Args:
            stored: FLOPs ratios of the plans that are tested with stored weights.
            tuned: FLOPs ratios of the plans that are tuned anew before the test.
        """
        units = self._test(False) * sum(map(work, stored)) + self._test(True) * sum(map(work, tuned))
        return units * self._per_second

    def expected_tests(
        self, budget: int, ended: int, size: int, seeds: int, share: float = 1.0
    ) -> tuple[list[float], list[float]]:
        """Return the FLOPs ratios of the tests at the end, as `tests_left` takes them.

        Args:
            budget: total number of trials.
            ended: number of trials that have ended.
            size: number of members of the front now.
            seeds: number of seeds of tuning that are tested.
            share: fraction of the front that is tested with more than one seed.
        """
        now = size / math.sqrt(max(1, ended))
        growth = (FRONT_GROWTH * 2 * USUAL_WEIGHT + now * ended) / (2 * USUAL_WEIGHT + ended)
        members = max(size, min(growth * math.sqrt(budget), self._promoted(self.num_rungs - 1, budget)))
        ratios = [self._ratio.value] * round(members)
        return [1.0, *ratios], ratios[: round(share * members)] * (seeds - 1)

    def _seconds(self, number: int) -> tuple[float, float]:
        """Return the seconds of tuning at a rung, and of all else, for the dense model."""
        pace = self._rungs[number]
        tune, evaluate = pace.tune.value, pace.evaluate.value
        if number + 1 < self.num_rungs and (after := self._rungs[number + 1]).evaluate.count:
            before = self._rungs[number - 1].steps if number else 0
            evaluate = min(evaluate, PER_QUESTION * after.evaluate.value * pace.questions / after.questions)
            if after.steps > pace.steps:
                per_step = after.tune.value / (after.steps - pace.steps)
                tune = min(tune, PER_STEP * per_step * (pace.steps - before))
        return tune, evaluate

    def _test(self, tunes: bool) -> float:
        """Return the seconds per unit of work of a test: those measured, or what the last rung lets expect."""
        if self._tests[tunes].count:
            return self._tests[tunes].value
        last = self._rungs[-1]
        evaluate = last.evaluate.value * (self.test_questions or last.questions) / last.questions
        return evaluate + (sum(self._seconds(number)[0] for number in range(self.num_rungs)) if tunes else 0.0)

    @property
    def _per_second(self) -> float:
        """Return the seconds on the clock per second of a job: less than 1 with several workers."""
        spent = self._spent + sum(map(self.seconds, self._started))
        if not spent or self.begin is None:
            return 1 / self.workers
        return (time.monotonic() - self.begin) / spent
