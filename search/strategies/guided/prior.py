"""What is known of plans nobody has measured: the surrogate's prior mean and the scale of its weights.

Every bit of a plan (see `coding`) has a toll, the logarithm of what it leaves of the accuracy when it is set
alone. Tolls add up, times one steepness for all, since losses of several changes are more or less than the
product of the single ones. Beforehand tolls are in proportion to the importance of what a bit leaves out, which
gates of the dense model say (`workers.evaluation.importance`); a sensitivity scan makes them exact.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.strategies.plan_bits import Coding, removed
from workers.requests import Importance

Floats = NDArray[np.float64]

LEAST_LEFT = 0.05
"""A change that alone leaves less than this share of the accuracy counts as leaving this."""
STEEPNESS = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
RIDGE = 0.01
"""How firmly tolls are held to what was known beforehand where the scan leaves them open."""
USUAL = 3.0
"""Sum of all tolls where nothing was scanned, and of all weights of the surrogate before they are fitted."""
DOUBTED = 0.5
"""Sum of tolls in doubt: a scan counts for the scale of all tolls as far as what it covers is more than this."""


@dataclass(frozen=True)
class Prior:
    """For F bits."""

    dense: float
    """Accuracy of the dense plan."""
    tolls: Floats
    """(F,), at least 0."""
    steepness: float
    even: float
    """Part of a weight that all bits have in common, relative to the mean loss."""

    @property
    def slope(self) -> float:
        """Nothing comes before the first rung."""
        return 0.0

    def base(self, bits: Floats) -> Floats:
        """Return (N,) accuracy to expect of (N, F) plans at the first rung."""
        return self.dense * np.exp(-self.steepness * (bits @ self.tolls))

    @property
    def weights(self) -> Floats:
        """Return (F,) the surrogate's: plans that differ in a bit that matters little are nearly alike."""
        return weights_of(self.tolls, self.even)


def weights_of(tolls: Floats, even: float) -> Floats:
    """Return (F,) of a surrogate, given (F,) tolls and what all bits have in common, see `Prior`."""
    losses = 1.0 - np.exp(-tolls)
    weights: Floats = USUAL / len(losses) * (even + losses / max(losses.mean(), 1e-9)) / (1 + even)
    return weights


def tolls_beforehand(coding: Coding, importance: Importance | None) -> Floats:
    """Return (F,) tolls before any plan is measured, in proportion to the importance of what a bit leaves out.

    Args:
        importance: of attention and FFN of every block, in any unit; None where nobody knows, all bits are alike then.
    """
    tolls = np.full((len(coding.choices), coding.num_bits // len(coding.choices)), USUAL / coding.num_bits)
    total = np.sum(importance or 0.0)
    if importance is None or not total > 0:
        return tolls.ravel()
    halves = USUAL * np.array(importance) / total
    for block, (levels, table) in enumerate(zip(coding.choices, coding.bits_of, strict=True)):
        wanted = np.array([removed(level) for level in levels]) @ halves[block]
        tolls[block] = 0.0
        tolls[block, : table.shape[1]] = np.linalg.lstsq(table, wanted, rcond=None)[0]
    bounded: Floats = np.maximum(tolls, 0.0).ravel()
    return bounded


def prior_of(
    bits: Floats, values: Floats, is_single: np.ndarray, dense: float | None, beforehand: Floats, even: float
) -> Prior:
    """Return the prior that N measured plans give.

    Args:
        bits: (N, F).
        values: (N,) accuracies.
        is_single: (N,) bool, plans that change one block.
        dense: accuracy of the dense plan; None where it is not measured, the best accuracy then stands for it.
        beforehand: (F,) tolls to expect, see `tolls_beforehand`.
        even: see `Prior`.
    """
    dense = max(float(values.max() if dense is None else dense), 1e-6)
    tolls = beforehand
    if is_single.any():
        tolls = _solve(bits[is_single], -np.log(np.clip(values[is_single] / dense, LEAST_LEFT, 1.0)), beforehand)
    priors = [Prior(dense, tolls, steepness, even) for steepness in STEEPNESS]
    return min(priors, key=lambda prior: float(((prior.base(bits) - values) ** 2).sum()))


def _solve(singles: Floats, tolls: Floats, beforehand: Floats) -> Floats:
    """(F,) tolls of bits from the (S,) tolls of (S, F) plans with one changed block: ridge regression around what was
    known beforehand, brought to the scale of what was measured."""
    expected = singles @ beforehand
    scale = (tolls.sum() + DOUBTED) / (expected.sum() + DOUBTED)
    normal = singles.T @ singles + RIDGE * np.eye(singles.shape[1])
    solved: Floats = np.maximum(
        scale * beforehand + np.linalg.solve(normal, singles.T @ (tolls - scale * expected)), 0.0
    )
    return solved
