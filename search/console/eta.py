"""Predicts how long the remaining trials and tests will take, from those that have ended."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

USUAL_WEIGHT = 5
"""Weight of the expected fraction of full trials, as a number of observed trials."""

ONCE = ("load", "floor", "importance")
"""Steps of a trial that are taken only once, in the first trial of a worker or of the search."""


def spent_once(seconds: Mapping[str, float]) -> float:
    """Return the seconds of a rung that later trials do not spend again.

    Args:
        seconds: step -> seconds, as in a report of a rung.
    """
    return sum(seconds.get(step, 0.0) for step in ONCE)


@dataclass
class TrialPace:
    """Speed of the trials, for any number of parallel workers.

    Hand-made baselines come first, and nearly all of them reach the last rung, while most other trials do not. The
    fraction of full trials is therefore counted separately for both.
    """

    keep_fraction: float
    """Expected fraction of the trials that reach the last rung."""
    begin: float = field(default_factory=time.monotonic)
    """Start of the search, in seconds of the monotonic clock."""
    _to_first: list[float] = field(default_factory=list)
    _to_last: list[float] = field(default_factory=list)
    _spent: float = 0.0
    _full: dict[bool, list[bool]] = field(default_factory=lambda: {True: [], False: []})
    """Per ended baseline (True) and other trial (False), True if it finished the last rung."""

    def first_rung(self, seconds: float) -> None:
        """Add the seconds of the first rung of a trial, without loading the model."""
        self._to_first.append(seconds)

    def ended(self, seconds: float, load: float, is_full: bool, is_baseline: bool) -> None:
        """Add an ended trial.

        Args:
            seconds: duration of the whole trial, without loading the model.
            load: seconds of loading the model, which each worker does once.
            is_full: True if it finished the last rung.
            is_baseline: True if it is a hand-made baseline.
        """
        self._spent += seconds + load
        self._full[is_baseline].append(is_full)
        if is_full:
            self._to_last.append(seconds)

    def seconds_for(self, baselines: int, others: int) -> float:
        """Return the seconds that this many baselines and other trials will take; 0 before any has ended."""
        if not self._spent:
            return 0.0
        full = baselines * self._share(True, usual=1.0) + others * self._share(False, usual=self.keep_fraction)
        first, last = _mean(self._to_first), _mean(self._to_last)
        work = (baselines + others) * (first or last) + full * max(0.0, last - first)
        return work * (time.monotonic() - self.begin) / self._spent

    def _share(self, is_baseline: bool, usual: float) -> float:
        seen = self._full[is_baseline]
        return (USUAL_WEIGHT * usual + sum(seen)) / (USUAL_WEIGHT + len(seen))


@dataclass
class FinalPace:
    """Speed of the tests of one kind; their time is proportional to the FLOPs of their plans."""

    begin: float = field(default_factory=time.monotonic)
    """Start of the first test, in seconds of the monotonic clock."""
    jobs: int = 0
    """Number of tests that have ended."""
    flops: float = 0.0
    """Sum of the FLOPs ratios of their plans."""

    def seconds_for(self, flops: float) -> float:
        """Return the seconds that tests of plans with this sum of FLOPs ratios will take."""
        return (time.monotonic() - self.begin) / self.flops * flops


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0
