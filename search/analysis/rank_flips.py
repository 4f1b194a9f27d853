"""Measures how well the ranking of plans at a cheap rung, or before tuning, predicts that at a later one, or after it.

Two numbers are computed over all trials that have finished both rungs: Kendall's tau, and the fraction of pairs with
similar cost whose order flips, since promotion decides between such pairs. Only promoted trials have finished both.
They are the better ones of their rung and differ less than plans in general, so both numbers are worse than they would
be over all plans.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.storage.results import TrialRecord
from search.storage.tables import RungResult

LIKE_COST = 0.05
"""Maximum difference in FLOPs ratio of two plans of similar cost."""
MIN_TRIALS = 10
"""Minimum number of trials for a comparison."""
MAX_FLIPPED = 1 / 3
"""Fraction of flipped pairs above which a warning is shown; 0.5 is expected by chance."""

ADVICE = (
    "The first is misleading: use more questions or tuning steps there (--rungs), or promote more trials "
    "(--keep-fraction)"
)
"""Addition to the text of a comparison that misleads."""


@dataclass(frozen=True)
class RankFlips:
    """Agreement of two measurements of the same trials."""

    before: str
    """Name of the first measurement: `rung 0`, `untuned`."""
    after: str
    """Name of the second measurement."""
    trials: int
    """Number of trials with both measurements."""
    tau: float
    """Kendall's tau-b in [-1, 1]; 1 for the same order, 0 for unrelated ones."""
    flipped: float | None
    """Fraction of the pairs of similar cost whose order differs; None if there is no such pair."""

    @property
    def misleads(self) -> bool:
        """Return True if ranking by the first measurement predicts the second poorly."""
        return self.flipped is not None and self.flipped > MAX_FLIPPED

    def __str__(self) -> str:
        pairs = (
            "no pairs of similar cost" if self.flipped is None else f"{self.flipped:.0%} of pairs of similar cost flip"
        )
        found = f"{self.before} -> {self.after}: Kendall's tau {self.tau:.2f}, {pairs} ({self.trials} trials)"
        return f"{found}. {ADVICE}" if self.misleads else found

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**asdict(self), "misleads": self.misleads}


def rank_flips(records: Sequence[TrialRecord]) -> list[RankFlips]:
    """Return comparisons of each rung with the next, of the first with the last, and of before with after tuning.

    Comparisons with too few trials are left out.
    """
    plans = _rungs_of_plans(records)
    num_rungs = max((len(rungs) for rungs in plans), default=0)
    steps = list(zip(range(num_rungs - 1), range(1, num_rungs), strict=True))
    if num_rungs > 2:
        steps.append((0, num_rungs - 1))
    found = []
    for low, high in steps:
        both = [(rungs[low], rungs[high]) for rungs in plans if len(rungs) > high]
        pairs = [(before.accuracy, after.accuracy, after.flops_ratio) for before, after in both]
        found.append(compare(f"rung {low}", f"rung {high}", pairs))
    tuned = [rungs[-1] for rungs in plans if rungs and rungs[-1].metrics["tune_accuracy"]]
    pairs = [(*rung.metrics["tune_accuracy"], rung.flops_ratio) for rung in tuned]
    found.append(compare("untuned", "tuned", pairs))
    return [flips for flips in found if flips is not None]


def _rungs_of_plans(records: Sequence[TrialRecord]) -> list[list[RungResult]]:
    """Return, per plan, its results at all rungs, cheapest first, merged over trials that continue one another."""
    plans: dict[str, dict[int, RungResult]] = {}
    for record in records:
        plans.setdefault(record.trial.digest, {}).update({rung.rung: rung for rung in record.on("search")})
    return [[rungs[number] for number in sorted(rungs)] for rungs in plans.values()]


def compare(before: str, after: str, measured: Sequence[tuple[float, float, float]]) -> RankFlips | None:
    """Return the agreement of two measurements, or None with fewer than `MIN_TRIALS` trials.

    Args:
        before, after: names of the measurements.
        measured: per trial, (accuracy before, accuracy after, FLOPs ratio).
    """
    if len(measured) < MIN_TRIALS:
        return None
    first, second, costs = np.array(measured).T
    return RankFlips(before, after, len(measured), _tau(first, second), _flipped(first, second, costs))


def _tau(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return Kendall's tau-b; 0 if one of the measurements is the same for all plans.

    `scipy.stats` has it too, but importing that takes longer than the whole report.
    """
    agreeing = pairs_first = pairs_second = 0
    for row in range(len(first) - 1):
        one, other = np.sign(first[row + 1 :] - first[row]), np.sign(second[row + 1 :] - second[row])
        agreeing += int(one @ other)
        pairs_first += int(np.count_nonzero(one))
        pairs_second += int(np.count_nonzero(other))
    pairs = pairs_first * pairs_second
    return agreeing / math.sqrt(pairs) if pairs else 0.0


def _flipped(first: NDArray[np.float64], second: NDArray[np.float64], costs: NDArray[np.float64]) -> float | None:
    """Return the fraction of pairs of similar cost whose order differs; pairs tied in a measurement are not counted."""
    order = np.argsort(costs, kind="stable")
    first, second, costs = first[order], second[order], costs[order]
    ends = np.searchsorted(costs, costs + LIKE_COST, side="right")
    flipped = decided = 0
    for row, end in enumerate(ends):
        signs = np.sign(first[row] - first[row + 1 : end]) * np.sign(second[row] - second[row + 1 : end])
        flipped += int(np.count_nonzero(signs < 0))
        decided += int(np.count_nonzero(signs))
    return flipped / decided if decided else None
