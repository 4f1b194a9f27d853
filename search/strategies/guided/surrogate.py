"""A Gaussian process on plans: predicts a value of untried plans, with its uncertainty.

A plan is a row of bits (`search.strategies.plan_bits`). The kernel is the sum of a linear part, in which each bit has
its own effect, an optional part with one effect per pair of bits, and a product part: the product of exp(-weight) over
the bits in which two plans differ. The product part covers interactions of any order; it is the exponential of a
Hamming distance with one weight per bit. Weights, scales and noise are fitted to the marginal likelihood. The mean is
zero: the caller subtracts the mean function.

V columns of values of the same plans are V independent Gaussian processes with the same kernel.
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
"""Standard deviations of the normal priors on the logarithms of the weights, and of the scales and the noise."""
NO_PAIRS = 1e-12
"""Factor on the initial variance of the pair part in a fit without pairs; above 0, since its logarithm is taken."""
MAX_STEPS = 25
"""Maximum number of L-BFGS iterations per fit."""
MAX_INDEPENDENT_COLUMNS = 8
"""Maximum number of value columns counted as independent in the likelihood; questions fail together, so the columns are
correlated."""


@dataclass(frozen=True)
class Kernel:
    """Hyperparameters of the Gaussian process, for F bits."""

    linear: float
    """Variance of the linear part, per bit."""
    product: float
    """Variance of the product part."""
    noise: float
    """Variance of the measurement noise."""
    pairs: float
    """Variance of the pair part, per pair of bits; 0 without this part."""
    weights: Floats
    """(F,) weight of each bit in the Hamming distance."""

    def between(self, first: Real, second: Real) -> Real:
        """Return the (N, M) covariances of (N, F) and (M, F) bits, in their dtype."""
        # In place: these tables take half the time of a proposal.
        covariance = (first - 0.5) @ (second - 0.5).T
        gram = covariance.copy()
        covariance *= self.pairs
        covariance += self.linear
        covariance *= gram
        product = _distances(first, second, self.weights)
        np.exp(np.negative(product, out=product), out=product)
        product *= self.product
        covariance += product
        return covariance

    def variances(self, bits: Floats) -> Floats:
        """Return the (N,) prior variances of (N, F) bits."""
        alike = bits.shape[1] / 4
        return np.full(len(bits), (self.linear + self.pairs * alike) * alike + self.product)


class Surrogate:
    """The posterior given N measured plans; N may be 0.

    Computed in float64; predictions are in float32 for speed (relative error of the standard deviation: at most 5e-4).
    """

    def __init__(self, kernel: Kernel, bits: Floats, values: Floats) -> None:
        """Condition the Gaussian process on measured plans.

        Args:
            kernel: fitted hyperparameters.
            bits: (N, F) bits of the plans.
            values: (N,) or (N, V) their values.
        """
        self.kernel = kernel
        covariance = kernel.between(bits, bits)
        covariance[np.diag_indices_from(covariance)] += kernel.noise
        factor = cholesky(covariance, lower=True, check_finite=False)
        # Inverted once, so that the many predictions per proposal are products; the noise keeps it well conditioned.
        whitening, _ = dtrtri(factor, lower=True)
        self._factor = factor
        self.whitened: Singles = (whitening @ values).astype(np.float32)
        """(N,) or (N, V) whitened values: independent with variance 1 under the kernel."""
        self._bits, self._whitening = bits.astype(np.float32), whitening.astype(np.float32)

    def predict(self, bits: Floats) -> tuple[Floats, Floats]:
        """Return the mean, (M,) or (M, V) like the values, and the (M,) standard deviations of (M, F) bits."""
        explained, deviation = self.explain(bits)
        # On short rows some BLAS set the flag although operands and product are finite.
        with np.errstate(invalid="ignore"):
            return (explained @ self.whitened).astype(float), deviation

    def in_turn(self) -> tuple[Singles, Floats]:
        """Return `explain` for the N measured plans, each given only the plans before it: (N, N) and (N,).

        Unlike those of `explain`, the standard deviations include the noise.
        """
        return np.tril(self._factor, -1).astype(np.float32), np.diag(self._factor).copy()

    def explain(self, bits: Floats) -> tuple[Singles, Floats]:
        """Return the posterior of plans given as (M, F) bits.

        Returns:
            (M, N) coefficients: the mean is their product with `whitened`; and (M,) standard deviations without noise.
        """
        explained = self.kernel.between(bits.astype(np.float32), self._bits) @ self._whitening.T
        variance = self.kernel.variances(bits) - np.einsum("ij,ij->i", explained, explained)
        return explained, np.sqrt(np.maximum(variance, 1e-12))


def fit(weights: Floats, bits: Floats, values: Floats, pairs: bool = False) -> Kernel:
    """Return the kernel with the highest posterior density given N measured plans.

    Args:
        weights: (F,) medians of the log-normal priors on the weights.
        bits: (N, F) bits of the plans.
        values: (N,) or (N, V) their values; their mean square sets the priors on the scales.
        pairs: True to fit the part for pairs of bits; otherwise its variance is 0.
    """
    columns = values.reshape(len(values), -1)
    scatter, times = columns @ columns.T / columns.shape[1], min(columns.shape[1], MAX_INDEPENDENT_COLUMNS)
    spread = float((values**2).mean()) + 1e-4
    together = spread / 4 / (bits.shape[1] / 4) ** 2 * (1.0 if pairs else NO_PAIRS)
    start = np.log(np.concatenate([[spread / 4, spread, spread / 100, together], weights]))
    deviation = np.concatenate([[SCALE_PRIOR] * 4, np.full(len(weights), LENGTH_PRIOR)])

    def loss(logs: Floats) -> tuple[float, Floats]:
        value, slope = negative_likelihood(np.exp(logs), bits, scatter, times)
        off = (logs - start) / deviation
        return value + 0.5 * float(off @ off), slope + off / deviation

    bounds = [(s - 3 * d, s + 3 * d) for s, d in zip(start, deviation, strict=True)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": MAX_STEPS}).x
    linear, product, noise, together, *fitted = np.exp(found)
    return Kernel(linear, product, noise, together if pairs else 0.0, np.array(fitted))


def negative_likelihood(parameters: Floats, bits: Floats, scatter: Floats, times: int) -> tuple[float, Floats]:
    """Return the negative log marginal likelihood, and its gradient in the logarithms of the parameters.

    Args:
        parameters: (4 + F,) linear, product, noise and pair variance, then the weights.
        bits: (N, F) bits of the plans.
        scatter: (N, N) mean over the value columns of their outer products.
        times: number of independent columns that the scatter counts for.
    """
    linear, product, noise, pairs = parameters[:4]
    weights = parameters[4:]
    gram = (bits - 0.5) @ (bits - 0.5).T
    decay = product * np.exp(-_distances(bits, bits, weights))
    covariance = (linear + pairs * gram) * gram + decay
    covariance[np.diag_indices_from(covariance)] += noise + 1e-9
    factor = cholesky(covariance, lower=True, check_finite=False)
    inverse = cho_solve((factor, True), np.eye(len(bits)), check_finite=False)
    solved = inverse @ scatter
    value = times * (0.5 * np.trace(solved) + np.log(np.diag(factor)).sum())
    pull = 0.5 * times * (solved @ inverse - inverse)  # d log likelihood / d covariance
    pulled = pull * decay
    # x + y - 2xy is 1 where bits differ: this sums over all pairs without building a table per bit.
    rows = pulled.sum(1)
    differ = 2 * bits.T @ rows - 2 * ((pulled @ bits) * bits).sum(0)
    pulled_gram = pull * gram
    scales = [linear * pulled_gram.sum(), pulled.sum(), noise * np.trace(pull), pairs * (pulled_gram * gram).sum()]
    slope = np.concatenate([scales, -weights * differ])
    return float(value), -slope


def _distances(first: Real, second: Real, weights: Floats) -> Real:
    """Return the (N, M) weighted Hamming distances of (N, F) and (M, F) bits."""
    weights = weights.astype(first.dtype, copy=False)
    weighted = first * weights
    distances: Real = weighted.sum(1)[:, None] + (second @ weights)[None]
    distances -= 2 * weighted @ second.T
    return distances
