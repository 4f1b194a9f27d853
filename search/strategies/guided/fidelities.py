"""Predicts the accuracy of a plan at the last rung from trials of all rungs.

Autoregressive co-kriging (Kennedy and O'Hagan 2000) in its recursive form (Le Gratiet and Garnier 2014). The accuracy
at a rung is a linear function of the accuracy at the rung before, plus a Gaussian process on the plan: tuning makes up
for skipped FFNs, for example, but hardly for skipped attention. Each rung is learned conditionally on the rung before,
so it does not matter that only good trials reach the expensive rungs. If margins are measured, the fraction of right
answers that they predict (`answers`) is a further score before the first rung.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtr

from search.strategies.guided.prior import DEFAULT_SUM, Floats
from search.strategies.guided.surrogate import Surrogate

SLOPE_RIDGE = 0.05
"""Strength of the ridge penalty that pulls the slope between two rungs to 1, as a sum of squared accuracies."""
MIN_DEVIATION = 1e-6
"""Standard deviation of an accuracy that was measured; above 0, since predictions divide by it."""
MAX_DEVIATIONS = 6.0
"""A bar is clipped to this many standard deviations around the mean."""


class Trend(Protocol):
    """Mean function of the accuracy at a rung. M plans, F bits."""

    @property
    def slope(self) -> float:
        """Return the slope of the accuracy against the accuracy at the rung before."""
        ...

    @property
    def weights(self) -> Floats:
        """Return the (F,) initial kernel weights of the surrogate of the residuals."""
        ...

    def base(self, bits: Floats) -> Floats:
        """Return the expected accuracies (M,) of (M, F) plans, without the part that the rung before contributes."""
        ...


@dataclass(frozen=True)
class Line:
    """The accuracy at a rung as a linear function of the accuracy at the rung before, for plans of F bits."""

    offset: float
    slope: float
    num_bits: int

    @classmethod
    def through(cls, before: Floats, after: Floats, num_bits: int) -> "Line":
        """Return the ridge regression of `after` on `before`, with the slope pulled to 1.

        With few or similar trials the result is close to the mean gain with slope 1.

        Args:
            before: (N,) accuracies at the rung before.
            after: (N,) accuracies of the same trials at this rung.
            num_bits: F.
        """
        middle = before.mean()
        spread = before - middle
        slope = 1.0 + float(spread @ (after - before)) / (float(spread @ spread) + SLOPE_RIDGE)
        return cls(float(after.mean() - slope * middle), slope, num_bits)

    @property
    def weights(self) -> Floats:
        return np.full(self.num_bits, DEFAULT_SUM / self.num_bits)

    def base(self, bits: Floats) -> Floats:
        return np.full(len(bits), self.offset)


@dataclass(frozen=True)
class Conditional:
    """Distribution of a score of M plans given the score before: normal, with mean `base + slope * before`."""

    base: Floats
    """(M,) intercepts."""
    slope: float
    """Slope against the score before."""
    own: Floats
    """(M,) standard deviations given the score before."""

    def after(self, before: Floats, uncertainty: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the score, given those of the score before; (M,) each."""
        return self.base + self.slope * before, np.hypot(self.slope * uncertainty, self.own)


class ScoreModel(Protocol):
    """Model of one score of a plan: an accuracy at a rung, or the fraction of right answers that margins predict."""

    def conditional(self, bits: Floats) -> Conditional:
        """Return the distribution of the score of (M, F) plans given the score before."""
        ...


@dataclass(frozen=True)
class RungModel:
    """A mean function plus a Gaussian process of its residuals."""

    trend: Trend
    surrogate: Surrogate
    """Posterior of the residuals of the trend."""

    def conditional(self, bits: Floats) -> Conditional:
        more, own = self.surrogate.predict(bits)
        return Conditional(self.trend.base(bits) + more, self.trend.slope, own)

    def in_turn(self, bits: Floats) -> Conditional:
        """Return the distributions of the N training plans, each given only the training plans before it.

        Args:
            bits: (N, F) bits of the training plans, in the order in which the surrogate was given them.
        """
        explained, own = self.surrogate.in_turn()
        return Conditional(self.trend.base(bits) + explained @ self.surrogate.whitened, self.trend.slope, own)


@dataclass(frozen=True)
class WidenedModel:
    """A score model with its standard deviations multiplied by `factor`."""

    model: ScoreModel
    factor: float

    def conditional(self, bits: Floats) -> Conditional:
        narrow = self.model.conditional(bits)
        return Conditional(narrow.base, narrow.slope, self.factor * narrow.own)


class RepeatedScore:
    """A score that always equals the score before."""

    def conditional(self, bits: Floats) -> Conditional:
        return Conditional(np.zeros(len(bits)), 1.0, np.zeros(len(bits)))


@dataclass(frozen=True)
class Prediction:
    """Prediction for M plans at the last rung: (M,) each."""

    chance: Floats
    """Probability that the trial reaches the last rung."""
    mean: Floats
    """Mean accuracy, given that it does."""
    deviation: Floats
    """Standard deviation of the accuracy, given that it does."""


@dataclass(frozen=True)
class Conditionals:
    """Distributions of all scores of M plans, each given the score before."""

    conditionals: Sequence[Conditional]

    def if_judged(self, bars: Sequence[Floats | None] = ()) -> Prediction:
        """Return the prediction for the last rung if trials are stopped at the bars.

        The distribution at a rung is truncated at the bar, and the truncated distribution is approximated by a normal
        one with the same mean and variance.

        Args:
            bars: per score, (M,) values that a trial must exceed to continue; None where no trial is stopped.
        """
        mean, deviation, chance = self._start()
        for rung, conditional in enumerate(self.conditionals):
            mean, deviation = conditional.after(mean, deviation)
            if rung < len(bars) and (bar := bars[rung]) is not None:
                passed, mean, deviation = cut_off(mean, deviation, bar)
                chance = chance * passed
        return Prediction(chance, mean, deviation)

    def if_continued(self, scores: Floats) -> Prediction:
        """Return the prediction for the last rung if no trial is stopped any more.

        Args:
            scores: (M, S) scores measured so far, NaN at rungs that are not finished.
        """
        mean, deviation, chance = self._start()
        for rung, conditional in enumerate(self.conditionals):
            mean, deviation = conditional.after(mean, deviation)
            known = np.isfinite(scores[:, rung])
            mean = np.where(known, scores[:, rung], mean)
            deviation = np.where(known, MIN_DEVIATION, deviation)
        return Prediction(chance, mean, deviation)

    def _start(self) -> tuple[Floats, Floats, Floats]:
        """Return mean, standard deviation and probability before the first score: 0, 0 and 1."""
        count = len(self.conditionals[0].base)
        return np.zeros(count), np.zeros(count), np.ones(count)


@dataclass(frozen=True)
class Fidelities:
    """The models of all scores, each given the score before: margins, if measured, then the rungs."""

    levels: Sequence[ScoreModel]

    def of(self, bits: Floats) -> Conditionals:
        """Return the distributions of all scores of (M, F) plans."""
        return Conditionals([level.conditional(bits) for level in self.levels])


def cut_off(mean: Floats, deviation: Floats, bar: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the probability that a normal variable exceeds a bar, and its mean and standard deviation if it does.

    Args:
        mean, deviation: (M,) means and standard deviations of the variables.
        bar: (M,) lower bounds.
    """
    below = np.clip((bar - mean) / deviation, -MAX_DEVIATIONS, MAX_DEVIATIONS)
    chance = ndtr(-below)
    ratio = np.exp(-0.5 * below**2) / np.sqrt(2 * np.pi) / chance
    return chance, mean + deviation * ratio, deviation * np.sqrt(1.0 - ratio * (ratio - below))
