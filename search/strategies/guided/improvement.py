"""Expected hypervolume improvement of plans whose cost is known exactly and whose accuracy is uncertain."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from objectives.dominance import non_dominated
from objectives.objectives import MAXIMIZE, REFERENCE
from search.strategies.strategy import Focus

EVERYTHING = Focus()
Floats = NDArray[np.float64]


class Staircase:
    """A Pareto front as a step function: the best accuracy reached at or below each cost."""

    def __init__(self, points: Floats, focus: Focus = EVERYTHING) -> None:
        """Build the step function.

        Args:
            points: (N, 2) accuracy and FLOPs ratio of plans; dominated ones are ignored.
            focus: the part of the front that counts; the hypervolume outside is not considered.
        """
        floor, ceiling = focus.min_accuracy, min(focus.max_flops, REFERENCE[1])
        front = points[non_dominated(points, MAXIMIZE)] if len(points) else points
        front = front[np.argsort(front[:, 1])]
        self.heights = np.maximum(np.concatenate([[floor], front[:, 0]]), floor)
        """(K + 1,) accuracies of the steps, starting with the step left of the cheapest plan."""
        self.left = np.concatenate([[-np.inf], front[:, 1]])
        """(K + 1,) FLOPs ratios at which the steps begin."""
        self.start = focus.min_flops
        """FLOPs ratio below which the hypervolume does not count."""
        self.right = np.minimum(np.concatenate([front[:, 1], [ceiling]]), ceiling)

    def at(self, costs: Floats) -> Floats:
        """Return the (M,) accuracies of the front at (M,) FLOPs ratios."""
        heights: Floats = self.heights[np.searchsorted(self.left, costs, side="right") - 1]
        return heights


def expected_improvement(stairs: Staircase, costs: Floats, means: Floats, deviations: Floats) -> Floats:
    """Return the expected increase of the hypervolume by one further plan, for each of M plans.

    A plan of cost c raises all steps right of c that are lower than its accuracy. The expected increase is the sum over
    these steps of width times expected improvement above the step. The normal distribution is truncated at accuracy 1,
    since otherwise plans would seem to improve on a cheaper plan with accuracy 1.

    Args:
        stairs: front of the measured plans.
        costs: (M,) FLOPs ratios.
        means, deviations: (M,) means and standard deviations of the normally distributed accuracies.

    Returns:
        (M,) hypervolumes.
    """
    starts = np.maximum(costs, stairs.start)[:, None]
    widths = np.maximum(stairs.right[None] - np.maximum(stairs.left[None], starts), 0.0)
    means, deviations = means[:, None], deviations[:, None]
    gains = _expected_above(stairs.heights[None], means, deviations) - _expected_above(1.0, means, deviations)
    improvements: Floats = (widths * gains).sum(1)
    return improvements


def _expected_above(height: Floats | float, means: Floats, deviations: Floats) -> Floats:
    """Return the expected value of max(0, X - height) for normal X."""
    above = (means - height) / deviations
    density = np.exp(-0.5 * above**2) / np.sqrt(2 * np.pi)
    expected: Floats = deviations * (density + above * ndtr(above))
    return expected
