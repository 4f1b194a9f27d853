"""A Gaussian process on plans: what a number measured of plans will be for others, and how sure that is.

A plan is a row of bits: per block whether its attention is left out, its FFN, and whether both run in parallel. Two
plans are alike as far as their bits agree: the kernel is a linear part (every bit has an effect of its own) and the
product over the bits of exp(-weight) where they differ, which holds interactions of any order (the kernel of Hamming
distances with a weight a bit). Weights, scales and noise are fitted to the marginal likelihood. The mean is zero:
what is known beforehand is subtracted by the caller.

Several numbers of the same plans, V columns of values, are so many Gaussian processes with one kernel.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.linalg.lapack import dtrtri
from scipy.optimize import minimize

from search.strategies.guided.prior import Floats

Singles = NDArray[np.float32]
Real = TypeVar("Real", Floats, Singles)

LENGTH_PRIOR, SCALE_PRIOR = 1.0, 2.0
"""Standard deviations of the normal priors on the logarithms of the weights and of the scales."""
MOST_FITTED = 150
"""Points that weights are fitted to at most: a fit costs the third power of them."""
MOST_STEPS = 25
INDEPENDENT = 8
"""Columns of values count as so many at most when a kernel is fitted: questions fail together. From 2 to 32 it makes no
difference to what is predicted."""


@dataclass(frozen=True)
class Kernel:
    """Hyperparameters, for F bits."""

    linear: float
    """Variance of a bit's own effect."""
    product: float
    """Variance of what interactions add."""
    noise: float
    weights: Floats
    """(F,) how fast the product falls with a difference in a bit."""

    def between(self, first: Real, second: Real) -> Real:
        """Return (N, M) covariances of (N, F) and (M, F) bits, in the precision of these."""
        # In place: half of an ask goes into these tables.
        covariance = (first - 0.5) @ (second - 0.5).T
        covariance *= self.linear
        product = _distances(first, second, self.weights)
        np.exp(np.negative(product, out=product), out=product)
        product *= self.product
        covariance += product
        return covariance

    def variances(self, bits: Floats) -> Floats:
        """Return (N,) prior variances."""
        return np.full(len(bits), self.linear * bits.shape[1] / 4 + self.product)


class Surrogate:
    """The posterior given N measured plans, none included, with (N,) or (N, V) values.

    Learned in double precision; predicts in single, which most of an ask goes into. Standard deviations were measured
    to be off by 5e-4 of themselves at most by that.
    """

    def __init__(self, kernel: Kernel, bits: Floats, values: Floats) -> None:
        self.kernel = kernel
        covariance = kernel.between(bits, bits)
        covariance[np.diag_indices_from(covariance)] += kernel.noise
        factor = cholesky(covariance, lower=True, check_finite=False)
        # Inverted once for many predictions of an ask, which are products then; the noise keeps it well conditioned.
        whitening, _ = dtrtri(factor, lower=True)
        self.whitened: Singles = (whitening @ values).astype(np.float32)
        """The values as so many independent draws, each with variance 1, as the kernel would have them."""
        self._bits, self._whitening = bits.astype(np.float32), whitening.astype(np.float32)

    def predict(self, bits: Floats) -> tuple[Floats, Floats]:
        """Mean of (M, F) plans, shaped (M,) or (M, V) as the values are, and the (M,) standard deviations."""
        explained, deviation = self.explain(bits)
        # With rows of a few numbers BLAS was seen to raise the flag where operands and product are finite.
        with np.errstate(invalid="ignore"):
            return (explained @ self.whitened).astype(float), deviation

    def explain(self, bits: Floats) -> tuple[Singles, Floats]:
        """(M, N) how far (M, F) plans go along with the `whitened` values, and the (M,) standard deviations of what
        they do beside."""
        explained = self.kernel.between(bits.astype(np.float32), self._bits) @ self._whitening.T
        variance = self.kernel.variances(bits) - np.einsum("ij,ij->i", explained, explained)
        return explained, np.sqrt(np.maximum(variance, 1e-12))


def fit(weights: Floats, bits: Floats, values: Floats) -> Kernel:
    """The most likely kernel for N measured plans, under broad priors around (F,) weights and the spread of the (N,) or
    (N, V) values."""
    columns = values.reshape(len(values), -1)
    scatter, times = columns @ columns.T / columns.shape[1], min(columns.shape[1], INDEPENDENT)
    spread = float((values**2).mean()) + 1e-4
    start = np.log(np.concatenate([[spread / 4, spread, spread / 100], weights]))
    deviation = np.concatenate([[SCALE_PRIOR] * 3, np.full(len(weights), LENGTH_PRIOR)])

    def loss(logs: Floats) -> tuple[float, Floats]:
        value, slope = _negative_likelihood(np.exp(logs), bits, scatter, times)
        off = (logs - start) / deviation
        return value + 0.5 * float(off @ off), slope + off / deviation

    bounds = [(s - 3 * d, s + 3 * d) for s, d in zip(start, deviation, strict=True)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": MOST_STEPS}).x
    linear, product, noise, *fitted = np.exp(found)
    return Kernel(linear, product, noise, np.array(fitted))


def _negative_likelihood(parameters: Floats, bits: Floats, scatter: Floats, times: int) -> tuple[float, Floats]:
    """Negative log marginal likelihood and its slope along the logarithm of every parameter.

    Args:
        scatter: (N, N) mean over the columns of values of their outer products.
        times: independent columns it counts for.
    """
    linear, product, noise = parameters[:3]
    weights = parameters[3:]
    gram = (bits - 0.5) @ (bits - 0.5).T
    decay = product * np.exp(-_distances(bits, bits, weights))
    covariance = linear * gram + decay
    covariance[np.diag_indices_from(covariance)] += noise + 1e-9
    factor = cholesky(covariance, lower=True, check_finite=False)
    inverse = cho_solve((factor, True), np.eye(len(bits)), check_finite=False)
    solved = inverse @ scatter
    value = times * (0.5 * np.trace(solved) + np.log(np.diag(factor)).sum())
    pull = 0.5 * times * (solved @ inverse - inverse)  # d log likelihood / d covariance
    pulled = pull * decay
    # Where bits differ, x + y - 2xy = 1; summed over all pairs without a table a bit.
    rows = pulled.sum(1)
    differ = 2 * bits.T @ rows - 2 * ((pulled @ bits) * bits).sum(0)
    slope = np.concatenate([[linear * (pull * gram).sum(), pulled.sum(), noise * np.trace(pull)], -weights * differ])
    return float(value), -slope


def _distances(first: Real, second: Real, weights: Floats) -> Real:
    """Return (N, M) sums of the weights of the bits that differ."""
    weights = weights.astype(first.dtype, copy=False)
    weighted = first * weights
    distances: Real = weighted.sum(1)[:, None] + (second @ weights)[None]
    distances -= 2 * weighted @ second.T
    return distances
