"""Whether a cheap rung ranks plans as a later one does, and tuned plans as untuned ones.

Kendall's tau over all trials that finished both, and the share of pairs of like cost that change places: such pairs
are what a promotion decides between. Trials that climb are the better ones of their rung and more alike than all
plans, so both numbers look worse than they would over every plan.
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
"""Plans whose FLOPs ratios differ by no more than this compete with each other."""
FEWEST = 10
"""Trials below which nothing is said."""
MOST_FLIPPED = 1 / 3
"""More flipped pairs than this are a warning; a half would be chance."""

ADVICE = "The first misleads: ask more questions or tune there (--rungs), or let more go on (keep_fraction in --config)"


@dataclass(frozen=True)
class RankFlips:
    """How two measurements of the same trials agree."""

    before: str
    after: str
    trials: int
    tau: float
    """Kendall's tau-b over all these trials: 1 the same order, 0 unrelated."""
    flipped: float | None
    """Share of the pairs of like cost that change places; None where there is no such pair."""

    @property
    def misleads(self) -> bool:
        """Return True if ranking by the first measurement predicts the later one poorly."""
        return self.flipped is not None and self.flipped > MOST_FLIPPED

    def __str__(self) -> str:
        pairs = "no pairs of like cost" if self.flipped is None else f"{self.flipped:.0%} of pairs of like cost flip"
        found = f"{self.before} -> {self.after}: Kendall's tau {self.tau:.2f}, {pairs} ({self.trials} trials)"
        return f"{found}. {ADVICE}" if self.misleads else found

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "misleads": self.misleads}


def rank_flips(records: Sequence[TrialRecord]) -> list[RankFlips]:
    """Compare every rung with the next, the first with the last, and accuracy before and after tuning."""
    plans = _rungs_of_plans(records)
    num_rungs = max((len(rungs) for rungs in plans), default=0)
    steps = list(zip(range(num_rungs - 1), range(1, num_rungs), strict=True))
    if num_rungs > 2:
        steps.append((0, num_rungs - 1))
    found = []
    for low, high in steps:
        both = [(rungs[low], rungs[high]) for rungs in plans if len(rungs) > high]
        pairs = [(cheap.accuracy, dear.accuracy, dear.flops_ratio) for cheap, dear in both]
        found.append(compare(f"rung {low}", f"rung {high}", pairs))
    tuned = [rungs[-1] for rungs in plans if rungs and rungs[-1].metrics["tune_accuracy"]]
    pairs = [(*rung.metrics["tune_accuracy"], rung.flops_ratio) for rung in tuned]
    found.append(compare("untuned", "tuned", pairs))
    return [flips for flips in found if flips is not None]


def _rungs_of_plans(records: Sequence[TrialRecord]) -> list[list[RungResult]]:
    """Per plan what was measured at every rung, cheapest first; a trial may have gone on with another one's."""
    plans: dict[str, dict[int, RungResult]] = {}
    for record in records:
        plans.setdefault(record.trial.digest, {}).update({rung.rung: rung for rung in record.on("search")})
    return [[rungs[number] for number in sorted(rungs)] for rungs in plans.values()]


def compare(before: str, after: str, measured: Sequence[tuple[float, float, float]]) -> RankFlips | None:
    """Compare trials given as (accuracy before, accuracy after, FLOPs ratio); None where there are too few."""
    if len(measured) < FEWEST:
        return None
    first, second, costs = np.array(measured).T
    return RankFlips(before, after, len(measured), _tau(first, second), _flipped(first, second, costs))


def _tau(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return Kendall's tau-b, as `scipy.stats`, whose import takes longer than all else that a report needs.

    It is 0 where all plans are alike at one of the two: there is no order, so nothing that agrees.
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
    """Return the share of the pairs of like cost that change places, of those that neither measurement ties."""
    order = np.argsort(costs, kind="stable")
    first, second, costs = first[order], second[order], costs[order]
    ends = np.searchsorted(costs, costs + LIKE_COST, side="right")
    flipped = decided = 0
    for row, end in enumerate(ends):
        signs = np.sign(first[row] - first[row + 1 : end]) * np.sign(second[row] - second[row + 1 : end])
        flipped += int(np.count_nonzero(signs < 0))
        decided += int(np.count_nonzero(signs))
    return flipped / decided if decided else None
