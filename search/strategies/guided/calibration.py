"""Compares predictions with measurements: the factor by which standard deviations were too small, and log density."""

import numpy as np

from search.strategies.guided.fidelities import Conditional
from search.strategies.guided.prior import Floats

MAX_RESIDUAL = 6.0
"""Standardized residuals are clipped to plus and minus this."""
PRIOR_TRIALS = 6
"""Number of residuals of 1 standard deviation that are added, which pulls the factor to 1."""
MAX_WIDENING = 4.0
"""Maximum factor by which standard deviations are multiplied."""


def check(predicted: Conditional, values: Floats) -> tuple[float, float]:
    """Return the factor by which standard deviations were too small, and the mean log density of the values.

    The first half of the trials is not used, since it was predicted from very few trials.

    Args:
        predicted: distributions of N trials in the order in which they ran, each given the trials before it.
        values: (N,) measured values.

    Returns:
        The factor, from 1 to `MAX_WIDENING`, and the mean log density per trial after multiplication by it.
    """
    late = slice(len(values) // 2, None)
    off = np.clip((values - predicted.base)[late] / predicted.own[late], -MAX_RESIDUAL, MAX_RESIDUAL)
    widening = float(np.sqrt((off @ off + PRIOR_TRIALS) / (len(off) + PRIOR_TRIALS)))
    widening = min(max(widening, 1.0), MAX_WIDENING)
    density = -0.5 * (off / widening) ** 2 - np.log(widening * predicted.own[late])
    return widening, float(density.mean())
