"""The prior of the surrogate: the mean accuracy of plans before they are measured, and the initial kernel weights.

Each bit of a plan (`search.strategies.plan_bits`) has a toll: minus the logarithm of the fraction of the dense accuracy
that is left if this bit alone is set. The prior mean of a plan is `dense * exp(-steepness * sum of its tolls)`. The
steepness is one number for all plans: several changes together lose more, or less, than the product of the single
losses. Before anything is measured, tolls are proportional to the importance of what a bit leaves out, which the dense
trial measures with gates (`workers.evaluation.importance`). A sensitivity scan then corrects them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.strategies.plan_bits import Coding, removed
from workers.reports import Importance

Floats = NDArray[np.float64]

MIN_FRACTION_LEFT = 0.05
"""Lower bound on the fraction of the dense accuracy that a single change leaves; bounds its toll."""
STEEPNESS = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
"""Candidate values of the steepness; the one with the smallest squared error on the measured plans is taken."""
RIDGE = 0.01
"""Strength of the ridge penalty that pulls tolls to the ones known before the scan."""
DEFAULT_SUM = 3.0
"""Sum of all tolls before a scan, and sum of all initial kernel weights."""
SCALE_RIDGE = 0.5
"""Sum of tolls added to numerator and denominator of the estimated scale of all tolls, which pulls it to 1."""


@dataclass(frozen=True)
class Prior:
    """Mean function of the accuracy at the first rung, for plans of F bits."""

    dense: float
    """Accuracy of the dense plan."""
    tolls: Floats
    """(F,) tolls, at least 0."""
    steepness: float
    """Factor on the sum of the tolls."""
    even: float
    """Part of the kernel weights that is the same for all bits, relative to the mean of the part that depends on the
    toll."""

    @property
    def slope(self) -> float:
        """Return 0: no score comes before the first rung."""
        return 0.0

    def base(self, bits: Floats) -> Floats:
        """Return the expected accuracies (N,) of (N, F) plans at the first rung."""
        return self.dense * np.exp(-self.steepness * (bits @ self.tolls))

    @property
    def weights(self) -> Floats:
        """Return the (F,) initial kernel weights: plans that differ only in bits with small tolls are similar."""
        return weights_of(self.tolls, self.even)


def weights_of(tolls: Floats, even: float) -> Floats:
    """Return the (F,) initial kernel weights for (F,) tolls; `even` as in `Prior`."""
    losses = 1.0 - np.exp(-tolls)
    weights: Floats = DEFAULT_SUM / len(losses) * (even + losses / max(losses.mean(), 1e-9)) / (1 + even)
    return weights


def prior_tolls(coding: Coding, importance: Importance | None) -> Floats:
    """Return the (F,) tolls before any plan is measured, proportional to the importance of what a bit leaves out.

    Args:
        coding: the bits of the space.
        importance: per block, the importance of its attention and of its FFN, in any unit; if None, all bits have the
            same toll.
    """
    tolls = np.full((len(coding.choices), coding.num_bits // len(coding.choices)), DEFAULT_SUM / coding.num_bits)
    total = np.sum(importance or 0.0)
    if importance is None or not total > 0:
        return tolls.ravel()
    sublayers = DEFAULT_SUM * np.array(importance) / total
    for block, (levels, table) in enumerate(zip(coding.choices, coding.bits_of, strict=True)):
        wanted = np.array([removed(level) for level in levels]) @ sublayers[block]
        tolls[block] = 0.0
        tolls[block, : table.shape[1]] = np.linalg.lstsq(table, wanted, rcond=None)[0]
    bounded: Floats = np.maximum(tolls, 0.0).ravel()
    return bounded


def prior_of(
    bits: Floats, values: Floats, is_single: np.ndarray, dense: float | None, beforehand: Floats, even: float
) -> Prior:
    """Return the prior, fitted to N measured plans.

    Args:
        bits: (N, F) bits of the plans.
        values: (N,) accuracies at the first rung.
        is_single: (N,) bool, True for plans that change one block.
        dense: accuracy of the dense plan; if None, the best of `values` is used instead.
        beforehand: (F,) tolls of `prior_tolls`.
        even: as in `Prior`.
    """
    dense = max(float(values.max() if dense is None else dense), 1e-6)
    tolls = beforehand
    if is_single.any():
        tolls = _solve(bits[is_single], -np.log(np.clip(values[is_single] / dense, MIN_FRACTION_LEFT, 1.0)), beforehand)
    priors = [Prior(dense, tolls, steepness, even) for steepness in STEEPNESS]
    return min(priors, key=lambda prior: float(((prior.base(bits) - values) ** 2).sum()))


def _solve(singles: Floats, tolls: Floats, beforehand: Floats) -> Floats:
    """Return the (F,) tolls of bits by ridge regression around `beforehand`, rescaled to the measured tolls.

    Args:
        singles: (S, F) bits of the plans with one changed block.
        tolls: (S,) their measured tolls.
        beforehand: (F,) tolls known before.
    """
    expected = singles @ beforehand
    scale = (tolls.sum() + SCALE_RIDGE) / (expected.sum() + SCALE_RIDGE)
    normal = singles.T @ singles + RIDGE * np.eye(singles.shape[1])
    solved: Floats = np.maximum(
        scale * beforehand + np.linalg.solve(normal, singles.T @ (tolls - scale * expected)), 0.0
    )
    return solved
