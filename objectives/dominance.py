"""Pareto dominance among points with several objectives."""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def as_maximized(points: ArrayLike, maximize: Sequence[bool]) -> Floats:
    """Return the points as a float64 array, (N, M), in which larger is better in every column.

    Args:
        points: (N, M).
        maximize: (M,), True for an objective to maximize.

    Raises:
        ValueError: the points are not a table with one column per objective.
    """
    table = np.asarray(points, dtype=np.float64)
    if table.size == 0:
        return np.empty((0, len(maximize)))
    if table.ndim != 2 or table.shape[1] != len(maximize):
        raise ValueError(
            f"points must have shape (N, {len(maximize)}), one column per objective, got {table.shape}: "
            "give one row per point and one direction per objective"
        )
    return table * np.where(maximize, 1.0, -1.0)


def non_dominated(points: ArrayLike, maximize: Sequence[bool]) -> NDArray[np.bool_]:
    """Return a mask of the points that no other point dominates.

    A point dominates another if it is nowhere worse and somewhere better. Equal points do not dominate each other, so
    all of them are kept. Rows with NaN or infinity are never kept and dominate nothing.

    Args:
        points: (N, M).
        maximize: (M,), True for an objective to maximize.

    Returns:
        bool, (N,).

    Raises:
        ValueError: the points are not a table with one column per objective.
    """
    values = as_maximized(points, maximize)
    mask = np.zeros(len(values), dtype=np.bool_)
    front = _stairs if values.shape[1] == 2 else _front
    mask[front(values, np.flatnonzero(np.isfinite(values).all(axis=1)))] = True
    return mask


def sort_fronts(points: ArrayLike, maximize: Sequence[bool]) -> NDArray[np.int64]:
    """Return the rank of each point: 0 if non-dominated, 1 if non-dominated without rank 0, and so on.

    Rows with NaN or infinity share the last rank, after all other points.

    Args:
        points: (N, M).
        maximize: (M,), True for an objective to maximize.

    Returns:
        int64, (N,).

    Raises:
        ValueError: the points are not a table with one column per objective.
    """
    values = as_maximized(points, maximize)
    finite = np.isfinite(values).all(axis=1)
    ranks = np.zeros(len(values), dtype=np.int64)
    ranks[finite] = _sweep(values[finite]) if values.shape[1] == 2 else _peel(values[finite])
    ranks[~finite] = ranks[finite].max() + 1 if finite.any() else 0
    return ranks


def _peel(values: Floats) -> NDArray[np.int64]:
    """Return the ranks for any number of objectives by removing one front after another."""
    ranks = np.zeros(len(values), dtype=np.int64)
    left, rank = np.arange(len(values)), 0
    while len(left):
        front = _front(values, left)
        ranks[front] = rank
        left = np.setdiff1d(left, front)
        rank += 1
    return ranks


def _sweep(values: Floats) -> NDArray[np.int64]:
    """Return the ranks for two objectives in O(N log N) (Jensen 2003).

    Points are visited in descending order of the first objective, so a front dominates a point if its best second
    objective so far is at least that of the point. These bests decrease from front to front, which allows a binary
    search.
    """
    order = np.lexsort((-values[:, 1], -values[:, 0]))
    bests: list[float] = []  # negated, so that they rise
    previous, rank, found = None, 0, []
    for point in values[order].tolist():
        if point != previous:
            rank = bisect_right(bests, -point[1])
            bests[rank : rank + 1] = [-point[1]]
            previous = point
        found.append(rank)
    ranks = np.zeros(len(values), dtype=np.int64)
    ranks[order] = found
    return ranks


def crowding(points: ArrayLike) -> Floats:
    """Return the crowding distance of each point among the points of one front (NSGA-II, Deb et al. 2002).

    The distance is the sum over the objectives of the distance between both neighbors, divided by the range; infinite
    at the ends. Rows with NaN or infinity have distance 0 and are ignored as neighbors.

    Args:
        points: (N, M).

    Returns:
        float64, (N,).
    """
    table = np.asarray(points, dtype=np.float64)
    distances = np.zeros(len(table))
    if table.size == 0:
        return distances
    finite = np.flatnonzero(np.isfinite(table).all(axis=1))
    for column in table[finite].T:
        order = finite[np.argsort(column, kind="stable")]
        values = np.sort(column)
        if len(values) and values[-1] > values[0]:
            distances[order[1:-1]] += (values[2:] - values[:-2]) / (values[-1] - values[0])
            distances[order[[0, -1]]] = np.inf
    return distances


def _front(values: Floats, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the rows that no other row dominates; each step drops the rows that one of them dominates."""
    checked = 0
    while checked < len(rows):
        point, others = values[rows[checked]], values[rows]
        keep = (others > point).any(axis=1) | (others == point).all(axis=1)
        checked = int(keep[:checked].sum()) + 1
        rows = rows[keep]
    return rows


def _stairs(values: Floats, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the rows that no other row dominates for two objectives, in O(N log N).

    In descending order of the first objective, a point of the front has a better second objective than all different
    points before it.
    """
    order = rows[np.lexsort((-values[rows, 1], -values[rows, 0]))]
    points = values[order]
    is_new = np.ones(len(points), dtype=np.bool_)
    is_new[1:] = (points[1:] != points[:-1]).any(axis=1)
    second = points[is_new, 1]
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(second)[:-1]])
    kept: NDArray[np.intp] = order[(second > best_before)[np.cumsum(is_new) - 1]]
    return kept
