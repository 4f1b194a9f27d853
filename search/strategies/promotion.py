"""Multi-objective successive halving: decides which trials continue with the next, more expensive rung.

Follows MO-ASHA (Schmucker et al. 2021, arXiv 2106.12639): trials are ranked by non-dominated sorting, then by crowding
distance. The decision is asynchronous: it is made when a trial reports, against the results available at that time.
"""

import math
from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence

import numpy as np

from objectives.dominance import crowding, non_dominated, sort_fronts
from objectives.growing_fronts import GrowingFronts
from objectives.objectives import MAXIMIZE

MIN_RISES = 4
"""Number of full trials below the minimum accuracy at a rung from which the effect of further tuning is estimated."""


def least_before_tuning(least: float, rises: Sequence[float]) -> float:
    """Return the accuracy at a rung below which further tuning is not expected to raise a trial to the minimum.

    Args:
        least: minimum accuracy after the last rung.
        rises: accuracy at the last rung minus that at this rung, of each full trial below the minimum at this rung.
            With fewer than `MIN_RISES` of them the result is 0, so that the first such trials are tuned.
    """
    return max(0.0, least - max(rises)) if len(rises) >= MIN_RISES else 0.0


def goes_on(
    peers: Sequence[tuple[float, ...]],
    mine: tuple[float, ...],
    maximize: Sequence[bool],
    keep_fraction: float,
    least: float = 0.0,
) -> bool:
    """Return True if a trial may continue with the next rung.

    Args:
        peers: the objectives of all other trials that have finished this rung.
        mine: the objectives of this trial, in the same order; a trial with a non-finite one never continues.
        maximize: per objective, True if larger is better.
        keep_fraction: fraction in (0, 1] of the trials at this rung that may continue. Members of the first front
            always continue.
        least: minimum accuracy of the search. Trials below it take the places that trials above it leave free, the most
            accurate first, since tuning may still raise their accuracy.
    """
    if not all(math.isfinite(value) for value in mine):
        return False
    if mine[0] < least:
        return sum(peer[0] > mine[0] for peer in peers) < (len(peers) + 1) * keep_fraction
    points = np.asarray([*peers, mine], dtype=float)
    if non_dominated(points, maximize)[-1]:
        return True
    ranks = sort_fronts(points, maximize)
    ahead = int(np.sum(ranks < ranks[-1]))
    return _has_place(ahead, points[ranks == ranks[-1]], math.ceil(len(points) * keep_fraction))


class Peers:
    """The trials that have finished a rung, kept sorted into fronts: decides as `goes_on`, but faster."""

    def __init__(self, points: Iterable[tuple[float, float]] = ()) -> None:
        """Sort the first trials.

        Args:
            points: (accuracy, cost) of each trial, finite.
        """
        found = list(points)
        self._fronts = GrowingFronts((cost, accuracy) for accuracy, cost in found)
        self._accuracies = sorted(accuracy for accuracy, _ in found)

    def __len__(self) -> int:
        return len(self._fronts)

    def add(self, point: tuple[float, float]) -> None:
        """Add a trial that has finished the rung, by its (accuracy, cost)."""
        self._fronts.add((point[1], point[0]))
        insort(self._accuracies, point[0])

    def goes_on(self, mine: tuple[float, float], keep_fraction: float, least: float = 0.0) -> bool:
        """Return True if a trial that is not among the peers may continue with the next rung.

        Args:
            mine: (accuracy, cost) of the trial.
            keep_fraction: as in the function `goes_on`.
            least: as in the function `goes_on`.
        """
        point = mine[1], mine[0]
        if not all(math.isfinite(value) for value in point):
            return False
        if mine[0] < least:
            better = len(self._accuracies) - bisect_right(self._accuracies, mine[0])
            return better < (len(self._accuracies) + 1) * keep_fraction
        if (rank := self._fronts.rank(point)) == 0:
            return True
        places, ahead = math.ceil((len(self._fronts) + 1) * keep_fraction), self._fronts.num_ahead(rank)
        if ahead >= places:
            return False
        # the front without the members that the new trial dominates, which would move to the next front
        front = [p for p in self._fronts.front(rank) if p == point or not (p[0] >= point[0] and p[1] <= point[1])]
        return _has_place(ahead, np.asarray([*front, point]), places)


def _has_place(ahead: int, front: np.ndarray, places: int) -> bool:
    """Return True if the last trial of a front is among the first `places`, by crowding within its front.

    Args:
        ahead: number of trials on better fronts.
        front: (N, 2) objectives.
        places: number of trials that continue.
    """
    if ahead >= places:
        return False
    spread = crowding(front)
    return ahead + int(np.sum(spread > spread[-1])) < places


def bar(points: np.ndarray, keep_fraction: float) -> np.ndarray:
    """Return the last non-dominated front of a rung that may continue, cheapest point first.

    `goes_on` rejects every trial that one of these points dominates. A trial that none of them dominates may still be
    rejected by crowding distance.

    Args:
        points: (N, 2) accuracy and cost of the trials that have finished the rung.
        keep_fraction: as in `goes_on`.

    Returns:
        (K, 2) accuracy and cost; empty if N is 0.
    """
    ranks = sort_fronts(points, MAXIMIZE)
    places = math.ceil((len(points) + 1) * keep_fraction)
    ahead = np.concatenate([[0], np.cumsum(np.bincount(ranks))])
    front = points[ranks == np.flatnonzero(ahead < places)[-1]]
    bar: np.ndarray = front[np.argsort(front[:, 1])]
    return bar
