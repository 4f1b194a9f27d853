"""What a plan can be expected to add to the hypervolume, its cost known exactly and its accuracy in doubt."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from objectives.pareto import non_dominated
from search.goals import MAXIMIZE, REFERENCE

Floats = NDArray[np.float64]


def expected_improvement(front: Floats, costs: Floats, means: Floats, deviations: Floats) -> Floats:
    """Expected growth of the hypervolume by one more plan.

    The front is a staircase over the costs: at every cost the best accuracy reached for at most that. A plan of cost
    c lifts all steps right of c that are below it, so its expected growth is the sum over these steps of their widths
    times the expected improvement above their heights.

    Args:
        front: (N, 2) accuracy and cost of measured plans, dominated ones allowed.
        costs, means, deviations: (M,) of the plans in question; accuracies are normal.

    Returns:
        (M,).
    """
    floor, ceiling = REFERENCE
    steps = front[non_dominated(front, MAXIMIZE)] if len(front) else front
    steps = steps[np.argsort(steps[:, 1])]
    heights = np.concatenate([[floor], steps[:, 0]])
    left = np.concatenate([[-np.inf], steps[:, 1]])
    right = np.minimum(np.concatenate([steps[:, 1], [ceiling]]), ceiling)
    widths = np.maximum(right[None] - np.maximum(left[None], costs[:, None]), 0.0)
    above = (means[:, None] - heights[None]) / deviations[:, None]
    density = np.exp(-0.5 * above**2) / np.sqrt(2 * np.pi)
    gains = deviations[:, None] * (density + above * ndtr(above))
    return (widths * gains).sum(1)
