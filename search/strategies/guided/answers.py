"""Predicts the accuracy of untried plans from the margins of every answer of the plans tried so far.

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

from search.strategies.guided.fidelities import Rise
from search.strategies.guided.prior import Floats
from search.strategies.guided.surrogate import Surrogate

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
BOLD, BOLD_FROM = 1.5, 50
"""Standard deviations up that the doubt about a share is taken from, and trials from which on: before, there are plans
to find that nobody needs to be bold for. Of plans expected to answer less than a tenth, one in twelve answered more
than three of the deviations that the slope says; so plans were never asked for that turned out to be on the front."""
FARTHEST = 30.0
"""Standard deviations: what is farther from 0 counts as this far, for the exponential's sake."""


def bent(margins: Floats) -> Floats:
    """Return margins with values below 0 on a logarithmic scale, so that losses add up better."""
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
        """Return least-squares lines through the plan that leaves out least.

        Args:
            bits: (N, F).
            margins: (N, Q).
            tolls, weights: as above.
        """
        lost = bits @ tolls
        first = int(lost.argmin())
        further, fallen = lost - lost[first], margins.mean(1) - margins[first].mean()
        slope = float(further @ fallen) / max(float(further @ further), 1e-9)
        return cls(tolls, weights, margins[first] - slope * lost[first], slope)

    def mean(self, bits: Floats) -> Floats:
        """Return (M, Q) margins to expect of (M, F) plans."""
        return self.start + self.slope * (bits @ self.tolls)[:, None]


@dataclass(frozen=True)
class Answers:
    """What is known of the margins, as a level of `fidelities`: the share of right answers at the cheapest rung."""

    trend: Fall
    surrogate: Surrogate
    """Of what the trend leaves, a column a question."""

    def rise(self, bits: Floats) -> Rise:
        """To the share of right answers of (M, F) plans. Nothing comes before.

        A doubt about margins moves the share as far as answers are near to breaking, and together where they fail
        together: what plans have beyond the trend, whitened, is so many draws of how the answers move.
        """
        explained, deviation = self.surrogate.explain(bits)
        deviation = np.hypot(deviation, np.sqrt(self.surrogate.kernel.noise))
        # In single precision and in place: most of an ask goes into these tables.
        sure = self.trend.mean(bits).astype(np.float32)
        sure += explained @ self._moves[:-1]
        sure /= deviation[:, None].astype(np.float32)
        np.clip(sure, -FARTHEST, FARTHEST, out=sure)
        odds: NDArray[np.float32] = np.exp(np.multiply(sure, -STEEPNESS, out=sure))
        chance: NDArray[np.float32] = 1.0 / (1.0 + odds)
        near = chance * (1.0 - chance)
        count = chance.shape[1]
        moved = STEEPNESS / count * (near @ self._moves.T).astype(float)
        doubt = np.sqrt((moved**2).mean(1))
        if explained.shape[1] >= BOLD_FROM:
            doubt *= self._lift(odds, chance, near)
        return Rise(chance.mean(1, dtype=float), 0.0, np.hypot(doubt, ROUNDED / count))

    def _lift(self, odds: NDArray[np.float32], chance: NDArray[np.float32], near: NDArray[np.float32]) -> Floats:
        """(M,) how much farther the share goes up than its slope says if all margins turn out higher together; of
        (M, Q) odds against the answers, chances of them, and how near they are to breaking.

        Where nearly all answers are lost it is farther: they come back by and by. Near the top there is no room. The
        chances have all of the doubt in them already, so this is bolder than normal margins would be; what was measured
        is farther up than that still (docs/experiments.md).
        """
        up = BOLD * STEEPNESS * self._together
        lifted = 1.0 / (1.0 + odds * np.float32(np.exp(-up)))
        straight = up * near.mean(1, dtype=float)
        lift: Floats = (lifted.mean(1, dtype=float) - chance.mean(1, dtype=float)) / np.maximum(straight, 1e-9)
        return lift

    @cached_property
    def _moves(self) -> NDArray[np.float32]:
        """Return (N + 1, Q); the last one moves all alike, lest few plans seem to say all of it."""
        whitened = self.surrogate.whitened
        return np.concatenate([whitened, np.ones((1, whitened.shape[1]), np.float32)])

    @cached_property
    def _together(self) -> float:
        """Part of a margin's standard deviation by which all move alike."""
        return float(np.sqrt((self._moves.mean(1) ** 2).mean() / (self._moves**2).mean()))
