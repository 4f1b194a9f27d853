"""How many questions a plan will answer right, learned from how surely plans answer each of them.

A trial says more than its accuracy: by how much every right answer is ahead of the likeliest wrong one. That margin
falls smoothly as a plan leaves out more, long before the answer breaks, and differently for every question. So every
question has a Gaussian process of its own, all with one kernel, and the accuracy to expect is the mean of the chances
that margins are above 0: what an objective is composed of is modeled, and not the objective (Astudillo and Frazier
2019, arXiv 1906.01537).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from search.strategies.prior import Floats
from search.strategies.surrogate import Surrogate

FEWEST = 12
"""Trials from which on margins are learned from; before, accuracies alone. So few plans, which differ in everything,
say too little of each of many questions: what was learned from them was measured to be too sure of itself."""
BEND = 2.0
"""Nats below 0 where a margin counts for half its change: an answer that is lost can't be lost much more."""
STEEPNESS = 1.702
"""Of the logistic curve nearest to the normal distribution (Camilli 1994, doi 10.3102/10769986019003293): its
exponential is fast, and its longer tails leave a chance to answers that seem lost."""
ROUNDED = 12**-0.5
"""Standard deviation of a number of answers, which is whole, about what was expected of it exactly."""
FARTHEST = 30.0
"""Standard deviations: what is farther from 0 counts as this far, for the exponential's sake."""


def bent(margins: Floats) -> Floats:
    """Margins with what lies below 0 on a logarithmic scale, so that what plans leave out adds up better."""
    return np.where(margins < 0, -BEND * np.log1p(-np.minimum(margins, 0.0) / BEND), margins)


@dataclass(frozen=True)
class Fall:
    """What is expected of margins before plans are looked at one by one: all fall alike, in proportion to the tolls of
    what is left out. F bits, Q questions."""

    tolls: Floats
    """(F,)."""
    weights: Floats
    """(F,) of the surrogate of what is left, before they are fitted."""
    start: Floats
    """(Q,) margins where nothing is left out."""
    slope: float

    @classmethod
    def through(cls, bits: Floats, margins: Floats, tolls: Floats, weights: Floats) -> "Fall":
        """From the one of N plans that leaves out least, as the dense one does, with the slope of least squares.

        Args:
            bits: (N, F).
            margins: (N, Q).
            tolls, weights: as above.
        """
        lost = bits @ tolls
        first = int(lost.argmin())
        further, fallen = lost - lost[first], (margins - margins[first]).mean(1)
        slope = float(further @ fallen) / max(float(further @ further), 1e-9)
        return cls(tolls, weights, margins[first] - slope * lost[first], slope)

    def mean(self, bits: Floats) -> Floats:
        """(M, Q) margins to expect of (M, F) plans."""
        return self.start + self.slope * (bits @ self.tolls)[:, None]


@dataclass(frozen=True)
class Answers:
    """What is known of the margins, as a level of `fidelities`: the share of right answers at the cheapest rung."""

    trend: Fall
    surrogate: Surrogate
    """Of what the trend leaves, a column a question."""

    def expect(self, bits: Floats, before: Floats, doubt: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the share of right answers of (M, F) plans: (M,) each. Nothing comes before.

        A doubt about margins moves the share as far as answers are near to breaking, and together where they fail
        together: what plans have beyond the trend, whitened, is so many draws of how the answers move.
        """
        explained, deviation = self.surrogate.explain(bits)
        deviation = np.hypot(deviation, np.sqrt(self.surrogate.kernel.noise))
        # In single precision and in place: most of an ask goes into these tables.
        sure = self.trend.mean(bits).astype(np.float32)
        sure += explained.astype(np.float32) @ self._moves[:-1]
        sure /= deviation[:, None].astype(np.float32)
        np.clip(sure, -FARTHEST, FARTHEST, out=sure)
        chance = 1.0 / (1.0 + np.exp(np.multiply(sure, -STEEPNESS, out=sure)))
        near = chance * (1.0 - chance)
        moved = STEEPNESS / chance.shape[1] * (near @ self._moves.T).astype(float)
        return chance.mean(1, dtype=float), np.sqrt((moved**2).mean(1) + (ROUNDED / chance.shape[1]) ** 2)

    @cached_property
    def _moves(self) -> NDArray[np.float32]:
        """(N + 1, Q); the last one moves all alike, lest few plans seem to say all of it."""
        whitened = self.surrogate.whitened
        return np.concatenate([whitened, np.ones((1, whitened.shape[1]))]).astype(np.float32)
