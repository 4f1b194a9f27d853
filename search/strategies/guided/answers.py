"""Predicts the accuracy of untried plans from the margins that the tried plans have on every question.

The margin of a question is the log-probability of the right answer minus that of the likeliest wrong one, in nats.
Margins carry more information than accuracy: they fall smoothly as a plan leaves out more, long before the answer turns
wrong, and at a different speed for each question. Each question therefore has its own Gaussian process, all with the
same kernel. The predicted accuracy is the mean over questions of the probability that the margin is above 0. This
models the parts of a composite objective instead of the objective (Astudillo and Frazier 2019, arXiv 1906.01537).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from search.strategies.guided.fidelities import Conditional
from search.strategies.guided.prior import Floats
from search.strategies.guided.surrogate import Singles, Surrogate

MIN_TRIALS_FOR_MARGINS = 12
"""Minimum number of trials for using margins; with fewer trials the surrogate learns from accuracies only."""
LOG_SCALE = 2.0
"""Nats below 0 at which the slope of a compressed margin has fallen to one half."""
STEEPNESS = 1.702
"""Scale of the logistic function that is closest to the normal distribution function (Camilli 1994, doi
10.3102/10769986019003293)."""
ROUNDING_DEVIATION = 12**-0.5
"""Standard deviation of rounding to a whole number of right answers."""
OPTIMISM = 1.5
"""Standard deviations above the mean at which the uncertainty of the accuracy is measured (the optimism bonus)."""
OPTIMISM_FROM = 50
"""Number of trials after which the optimism bonus applies."""
MAX_DEVIATIONS = 30.0
"""Standardized margins are clipped to plus or minus this, to keep the exponential finite."""


def compressed(margins: Floats) -> Floats:
    """Return margins, of any shape, in nats, with values below 0 on a logarithmic scale.

    A wrong answer can hardly become more wrong. On this scale the losses of several changes are closer to additive.
    """
    return np.where(margins < 0, -LOG_SCALE * np.log1p(-np.minimum(margins, 0.0) / LOG_SCALE), margins)


@dataclass(frozen=True)
class MarginTrend:
    """Mean function of the margins: the margins of all questions fall in proportion to the sum of a plan's tolls.

    F bits, Q questions.
    """

    tolls: Floats
    """(F,) toll of each bit, see `prior`."""
    weights: Floats
    """(F,) initial kernel weights of the surrogate of the residuals."""
    start: Floats
    """(Q,) margins of the dense plan, in nats."""
    slope: float
    """Change of every margin per unit of toll, in nats."""

    @classmethod
    def through(cls, bits: Floats, margins: Floats, tolls: Floats, weights: Floats) -> "MarginTrend":
        """Return the least-squares fit among the lines through the plan with the smallest toll.

        Args:
            bits: (N, F) bits of the measured plans.
            margins: (N, Q) their margins, in nats.
            tolls, weights: (F,) as in the attributes.
        """
        lost = bits @ tolls
        first = int(lost.argmin())
        further, fallen = lost - lost[first], margins.mean(1) - margins[first].mean()
        slope = float(further @ fallen) / max(float(further @ further), 1e-9)
        return cls(tolls, weights, margins[first] - slope * lost[first], slope)

    def mean(self, bits: Floats) -> Floats:
        """Return the expected margins (M, Q), in nats, of plans given as (M, F) bits."""
        return self.start + self.slope * (bits @ self.tolls)[:, None]


@dataclass(frozen=True)
class MarginModel:
    """Predicts the fraction of right answers at the cheapest rung from margins; a score model of `fidelities`."""

    trend: MarginTrend
    surrogate: Surrogate
    """Posterior of the residuals of the trend, one column per question."""

    def conditional(self, bits: Floats) -> Conditional:
        """Return the distribution of the fraction of right answers of (M, F) plans; the slope is 0.

        Uncertain margins change the fraction most where answers are close to turning wrong, and more if questions fail
        together. The correlation of the questions is estimated from the whitened residuals of the trend, which are
        independent draws of how the margins move.
        """
        explained, deviation = self.surrogate.explain(bits)
        return self._conditional(bits, explained, np.hypot(deviation, np.sqrt(self.surrogate.kernel.noise)))

    def in_turn(self, bits: Floats) -> Conditional:
        """Return the distributions of the N training plans, each given only the training plans before it.

        Args:
            bits: (N, F) bits of the training plans, in the order in which the surrogate was given them.
        """
        return self._conditional(bits, *self.surrogate.in_turn())

    def _conditional(self, bits: Floats, explained: Singles, deviation: Floats) -> Conditional:
        # In single precision and in place: these tables take most of the time of a proposal.
        sure = self.trend.mean(bits).astype(np.float32)
        sure += explained @ self._moves[:-1]
        sure /= deviation[:, None].astype(np.float32)
        np.clip(sure, -MAX_DEVIATIONS, MAX_DEVIATIONS, out=sure)
        odds: NDArray[np.float32] = np.exp(np.multiply(sure, -STEEPNESS, out=sure))
        chance: NDArray[np.float32] = 1.0 / (1.0 + odds)
        near = chance * (1.0 - chance)
        count = chance.shape[1]
        moved = STEEPNESS / count * (near @ self._moves.T).astype(float)
        uncertainty = np.sqrt((moved**2).mean(1))
        if explained.shape[1] >= OPTIMISM_FROM:
            uncertainty *= self._lift(odds, chance, near)
        return Conditional(chance.mean(1, dtype=float), 0.0, np.hypot(uncertainty, ROUNDING_DEVIATION / count))

    def _lift(self, odds: NDArray[np.float32], chance: NDArray[np.float32], near: NDArray[np.float32]) -> Floats:
        """Return the (M,) factors by which the optimism bonus scales the uncertainty.

        The factor is the rise of the fraction of right answers, if all margins rise together by `OPTIMISM` standard
        deviations, over its linear approximation. It is large where nearly all answers are wrong and small where nearly
        all are right. It is more optimistic than a normal distribution of the margins justifies: `chance` already
        contains the uncertainty (docs/experiments.md, "Why constants have their values").

        Args:
            odds: (M, Q) odds against the right answer.
            chance: (M, Q) probability of the right answer.
            near: (M, Q) `chance * (1 - chance)`.
        """
        up = OPTIMISM * STEEPNESS * self._together
        lifted = 1.0 / (1.0 + odds * np.float32(np.exp(-up)))
        straight = up * near.mean(1, dtype=float)
        lift: Floats = (lifted.mean(1, dtype=float) - chance.mean(1, dtype=float)) / np.maximum(straight, 1e-9)
        return lift

    @cached_property
    def _moves(self) -> NDArray[np.float32]:
        """Return (N + 1, Q) draws of how margins move together: the whitened residuals, and a row of ones.

        The row of ones, in which all margins move equally, regularizes the correlation when there are few plans.
        """
        whitened = self.surrogate.whitened
        return np.concatenate([whitened, np.ones((1, whitened.shape[1]), np.float32)])

    @cached_property
    def _together(self) -> float:
        """Return the fraction of a margin's standard deviation that is common to all questions."""
        return float(np.sqrt((self._moves.mean(1) ** 2).mean() / (self._moves**2).mean()))
