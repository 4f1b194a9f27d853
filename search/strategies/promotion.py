"""Multi-objective successive halving: decides which trials continue with the next, more expensive rung.

Asynchronous (a trial is judged when it reports, against what is known then), after MO-ASHA (Schmucker et al.
2021, arXiv 2106.12639): rank by non-dominated sorting, then by crowding distance.
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
    """Return True if the trial that measured `mine` at a rung may start the next one.

    Args:
        peers: the objectives of all other trials that have finished this rung.
        mine: the objectives of this trial.
        maximize: per objective, whether larger is better.
        keep_fraction: share of the trials at this rung that may go on. Members of the first front always may:
            stopping them was measured to cost hypervolume, and letting them on costs little.
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
    """Return the front at a rung that a trial must not be dominated by to go on, cheapest first.

    `goes_on` refuses what one of these dominates; what none does it refuses only by crowding, among the last trials
    that fit.

    Args:
        points: (N, 2) accuracy and cost of the trials that have finished the rung.
        keep_fraction: as in `goes_on`.

    Returns:
        (K, 2), empty where nothing is measured.
    """
    ranks = sort_fronts(points, MAXIMIZE)
    places = math.ceil((len(points) + 1) * keep_fraction)
    ahead = np.concatenate([[0], np.cumsum(np.bincount(ranks))])
    front = points[ranks == np.flatnonzero(ahead < places)[-1]]
    bar: np.ndarray = front[np.argsort(front[:, 1])]
    return bar
