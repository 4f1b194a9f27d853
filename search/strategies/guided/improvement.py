"""What a plan can be expected to add to the hypervolume, its cost known exactly and its accuracy in doubt."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from objectives.dominance import non_dominated
from objectives.objectives import MAXIMIZE, REFERENCE
from search.strategies.strategy import Focus

EVERYTHING = Focus()
Floats = NDArray[np.float64]


class Staircase:
    """A front as steps over the costs: at every cost the best accuracy reached for at most that."""

    def __init__(self, points: Floats, focus: Focus = EVERYTHING) -> None:
        """Build the front of (N, 2) accuracy and cost of plans; steps count as far as they lie in the focus."""
        floor, ceiling = focus.min_accuracy, min(focus.max_flops, REFERENCE[1])
        front = points[non_dominated(points, MAXIMIZE)] if len(points) else points
        front = front[np.argsort(front[:, 1])]
        self.heights = np.maximum(np.concatenate([[floor], front[:, 0]]), floor)
        """(K + 1,) accuracies, from the step left of the cheapest plan on."""
        self.left = np.concatenate([[-np.inf], front[:, 1]])
        self.start = focus.min_flops
        """Cost from which on a step counts."""
        self.right = np.minimum(np.concatenate([front[:, 1], [ceiling]]), ceiling)

    def at(self, costs: Floats) -> Floats:
        """Return (M,) heights at (M,) costs."""
        heights: Floats = self.heights[np.searchsorted(self.left, costs, side="right") - 1]
        return heights


def expected_improvement(stairs: Staircase, costs: Floats, means: Floats, deviations: Floats) -> Floats:
    """Expected growth of the hypervolume by one more plan.

    A plan of cost c lifts all steps right of c that are below it, so its expected growth is the sum over these steps of
    their widths times the expected improvement above their heights. No accuracy is above 1: what the normal
    distribution has there counts as 1, else plans dearer than one that is always right would seem worth a trial.

    Args:
        stairs: of the measured plans.
        costs, means, deviations: (M,) of the plans in question; accuracies are normal.

    Returns:
        (M,).
    """
    starts = np.maximum(costs, stairs.start)[:, None]
    widths = np.maximum(stairs.right[None] - np.maximum(stairs.left[None], starts), 0.0)
    means, deviations = means[:, None], deviations[:, None]
    gains = _expected_above(stairs.heights[None], means, deviations) - _expected_above(1.0, means, deviations)
    improvements: Floats = (widths * gains).sum(1)
    return improvements


def _expected_above(height: Floats | float, means: Floats, deviations: Floats) -> Floats:
    """Return the mean of what normal values have above a height, 0 for those below it."""
    above = (means - height) / deviations
    density = np.exp(-0.5 * above**2) / np.sqrt(2 * np.pi)
    expected: Floats = deviations * (density + above * ndtr(above))
    return expected
