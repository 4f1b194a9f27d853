"""Computes the hypervolume: the volume that a set of points dominates, up to a reference point."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from objectives.dominance import Floats, as_maximized


def hypervolume(points: ArrayLike, reference: Sequence[float], maximize: Sequence[bool]) -> float:
    """Return the exact volume between the reference point and the points, for one to three objectives.

    Points that are not better than the reference in every objective, and rows with NaN or infinity, add nothing.

    Args:
        points: (N, M), M at most 3.
        reference: (M,), a point that is worse than all points of interest.
        maximize: (M,), True for an objective to maximize.

    Raises:
        ValueError: more than three objectives, or a reference of another length or with NaN or infinity.
    """
    if not 1 <= len(maximize) <= 3:
        raise ValueError(f"hypervolume needs 1 to 3 objectives, got {len(maximize)}: leave some out")
    if len(reference) != len(maximize) or not np.isfinite(reference).all():
        raise ValueError(
            f"the reference must have {len(maximize)} finite numbers, got {list(reference)}: "
            "give a point worse than all of interest"
        )
    gains = as_maximized(points, maximize) - as_maximized([reference], maximize)
    return _volume(gains[np.isfinite(gains).all(axis=1) & (gains > 0).all(axis=1)])


def _volume(gains: Floats) -> float:
    """Return the volume of the union of the boxes from the origin to each row, (N, M), all positive."""
    if not len(gains):
        return 0.0
    if gains.shape[1] == 1:
        return float(gains.max())
    if gains.shape[1] == 2:
        return _area(gains)
    # Slice along the last axis: between two neighboring heights, only boxes that reach the upper one count.
    heights = np.unique(gains[:, 2])
    areas = np.array([_area(gains[gains[:, 2] >= height, :2]) for height in heights])
    return float(np.diff(heights, prepend=0.0) @ areas)


def _area(gains: Floats) -> float:
    """Return the area of the union of the rectangles from the origin to each row, (N, 2), all positive."""
    widths, heights = gains[np.argsort(-gains[:, 0])].T
    steps = -np.diff(widths, append=0.0)
    return float(steps @ np.maximum.accumulate(heights))
