"""Multi-objective successive halving: decides which trials continue with the next, more expensive rung.

Follows MO-ASHA (Schmucker et al. 2021, arXiv 2106.12639): trials are ranked by non-dominated sorting, then by crowding
distance. The decision is asynchronous: it is made when a trial reports, against the results available at that time.
"""

import math
from collections.abc import Sequence

import numpy as np

from objectives.dominance import crowding, non_dominated, sort_fronts
from objectives.objectives import MAXIMIZE


def goes_on(
    peers: Sequence[tuple[float, ...]],
    mine: tuple[float, ...],
    maximize: Sequence[bool],
    keep_fraction: float,
) -> bool:
    """Return True if a trial may continue with the next rung.

    Args:
        peers: the objectives of all other trials that have finished this rung.
        mine: the objectives of this trial, in the same order; a trial with a non-finite one never continues.
        maximize: per objective, True if larger is better.
        keep_fraction: fraction in (0, 1] of the trials at this rung that may continue. Members of the first front
            always continue.
    """
    if not all(math.isfinite(value) for value in mine):
        return False
    points = np.asarray([*peers, mine], dtype=float)
    if non_dominated(points, maximize)[-1]:
        return True
    ranks = sort_fronts(points, maximize)
    places = math.ceil(len(points) * keep_fraction)
    ahead = int(np.sum(ranks < ranks[-1]))
    if ahead >= places:
        return False
    front = ranks == ranks[-1]
    spread = crowding(points[front])
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
