"""What a sensitivity scan says of plans nobody has measured: the surrogate's prior mean and the scale of its weights.

Every bit of a plan (see `coding`) has a toll, the logarithm of what it leaves of the accuracy when it is set
alone. Tolls add up, times one steepness for all, since losses of several changes are more or less than the
product of the single ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_LEFT = 0.05
"""A change that alone leaves less than this share of the accuracy counts as leaving this."""
STEEPNESS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
RIDGE = 0.01
"""How firmly tolls are held to their mean where the scan leaves them open."""
USUAL = 3.0
"""Sum of all tolls where nothing was scanned, and of all weights of the surrogate before they are fitted."""
EVEN = 0.1
"""Part of a weight that all bits have in common, relative to the mean toll."""


@dataclass(frozen=True)
class Prior:
    """For F bits."""

    dense: float
    """Accuracy of the dense plan."""
    tolls: Floats
    """(F,), at least 0."""
    steepness: float

    @property
    def slope(self) -> float:
        """Nothing comes before the first rung."""
        return 0.0

    def mean(self, bits: Floats, before: Floats | None = None) -> Floats:
        """(N,) accuracy to expect of (N, F) plans at the first rung; nothing comes `before` it."""
        return self.dense * np.exp(-self.steepness * (bits @ self.tolls))

    @property
    def weights(self) -> Floats:
        """(F,) the surrogate's: plans that differ in a bit that matters little are nearly alike."""
        losses = 1.0 - np.exp(-self.tolls)
        return USUAL / len(losses) * (EVEN + losses / max(losses.mean(), 1e-9)) / (1 + EVEN)


def prior_of(bits: Floats, values: Floats, is_single: np.ndarray, dense: float | None) -> Prior:
    """The prior that N measured plans give.

    Args:
        bits: (N, F).
        values: (N,) accuracies.
        is_single: (N,) bool, plans that change one block.
        dense: accuracy of the dense plan; None where it is not measured, the best accuracy then stands for it.
    """
    dense = max(float(values.max() if dense is None else dense), 1e-6)
    tolls = np.full(bits.shape[1], USUAL / bits.shape[1])
    if is_single.any():
        tolls = _solve(bits[is_single], -np.log(np.clip(values[is_single] / dense, LEAST_LEFT, 1.0)))
    priors = [Prior(dense, tolls, steepness) for steepness in STEEPNESS]
    return min(priors, key=lambda prior: float(((prior.mean(bits) - values) ** 2).sum()))


def _solve(singles: Floats, tolls: Floats) -> Floats:
    """Tolls of bits from tolls of (S, F) plans with one changed block, by ridge regression around their mean."""
    mean = tolls.sum() / singles.sum()
    normal = singles.T @ singles + RIDGE * np.eye(singles.shape[1])
    return np.maximum(mean + np.linalg.solve(normal, singles.T @ (tolls - singles.sum(1) * mean)), 0.0)
