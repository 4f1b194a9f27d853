"""How long trials and tests that are left will take, by those that have ended."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

USUAL_WEIGHT = 5
"""As many trials as the usual share of full ones counts for beside those that were seen."""

ONCE = ("load", "floor", "importance")
"""Steps of a trial that a worker or a search takes once, in the first trial."""


def spent_once(seconds: Mapping[str, float]) -> float:
    """Return the seconds of a rung that later trials do not spend again.

    Args:
        seconds: step -> seconds, as in a report of a rung.
    """
    return sum(seconds.get(step, 0.0) for step in ONCE)


@dataclass
class TrialPace:
    """How fast trials end, however many run at a time.

    Hand-made baselines come first and nearly all climb to the last rung, which most of the others do not: so the two
    are counted apart, and the time to the first rung and that to the last one.
    """

    keep_fraction: float
    """Share of the trials at a rung that usually goes on."""
    begin: float = field(default_factory=time.monotonic)
    _to_first: list[float] = field(default_factory=list)
    _to_last: list[float] = field(default_factory=list)
    _spent: float = 0.0
    _full: dict[bool, list[bool]] = field(default_factory=lambda: {True: [], False: []})
    """Of baselines, and of others, whether they ended the last rung."""

    def first_rung(self, seconds: float) -> None:
        """Add the seconds of a trial's first rung, without those of loading the model."""
        self._to_first.append(seconds)

    def ended(self, seconds: float, load: float, is_full: bool, is_baseline: bool) -> None:
        """Add the seconds of a whole trial, and those of loading the model, which each worker does once."""
        self._spent += seconds + load
        self._full[is_baseline].append(is_full)
        if is_full:
            self._to_last.append(seconds)

    def seconds_for(self, baselines: int, others: int) -> float:
        """Return the seconds that so many trials will take, 0 before one has ended."""
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
    """How fast tests of one kind end: their time goes with the FLOPs of their plans."""

    begin: float = field(default_factory=time.monotonic)
    jobs: int = 0
    flops: float = 0.0

    def seconds_for(self, flops: float) -> float:
        """Return the seconds that tests of plans with this sum of FLOPs ratios will take."""
        return (time.monotonic() - self.begin) / self.flops * flops


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0
