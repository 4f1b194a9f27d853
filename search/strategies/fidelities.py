"""What a plan will score at the last rung, learned from trials of all rungs.

Autoregressive co-kriging (Kennedy and O'Hagan 2000) in its recursive form (Le Gratiet and Garnier 2014): the accuracy
at a rung is a line through the accuracy at the rung before, plus what a Gaussian process of its own says of the
plan, such as that tuning makes up for FFNs and hardly for attention. Every rung is learned given what was measured
at the rung before, so that it does no harm that only good trials climb. Where margins of the right answers are
measured, what they say of the share of these (`answers`) stands below the first rung.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtr

from search.strategies.prior import USUAL, Floats
from search.strategies.surrogate import Surrogate

HELD = 0.05
"""How firmly the slope of a line is held to 1, as a sum of squared accuracies."""
LEAST_DOUBT = 1e-6
"""Standard deviation of an accuracy that was measured."""
FARTHEST = 6.0
"""Standard deviations: a bar farther up counts as this far."""


class Trend(Protocol):
    """What is expected at a rung before plans are looked at one by one. M plans, F bits."""

    @property
    def slope(self) -> float:
        """How far a doubt about the rung before goes on."""
        ...

    @property
    def weights(self) -> Floats:
        """(F,) of the surrogate of what the trend leaves, before they are fitted."""
        ...

    def mean(self, bits: Floats, before: Floats) -> Floats:
        """(M,) accuracies to expect of (M, F) plans that scored (M,) `before`."""
        ...


@dataclass(frozen=True)
class Line:
    """The accuracy at a rung as a line through the one before, for plans of F bits."""

    offset: float
    slope: float
    num_bits: int

    @classmethod
    def through(cls, before: Floats, after: Floats, num_bits: int) -> "Line":
        """Least squares with the slope held to 1: the mean gain alone where (N,) trials are few or alike."""
        middle = before.mean()
        spread = before - middle
        slope = 1.0 + float(spread @ (after - before)) / (float(spread @ spread) + HELD)
        return cls(float(after.mean() - slope * middle), slope, num_bits)

    @property
    def weights(self) -> Floats:
        return np.full(self.num_bits, USUAL / self.num_bits)

    def mean(self, bits: Floats, before: Floats) -> Floats:
        return self.offset + self.slope * before


class Level(Protocol):
    """What is known of one score."""

    def expect(self, bits: Floats, before: Floats, doubt: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation for (M, F) plans, (M,) each, given those of the score before."""
        ...


@dataclass(frozen=True)
class Step:
    """A level as a step from the one before."""

    trend: Trend
    surrogate: Surrogate
    """Of what the trend leaves."""

    def expect(self, bits: Floats, before: Floats, doubt: Floats) -> tuple[Floats, Floats]:
        more, own = self.surrogate.predict(bits)
        return self.trend.mean(bits, before) + more, np.hypot(self.trend.slope * doubt, own)


@dataclass(frozen=True)
class Outlook:
    """What is expected of M plans at the last rung: (M,) each."""

    chance: Floats
    """Of getting there."""
    mean: Floats
    """Accuracy of those that do."""
    deviation: Floats


@dataclass(frozen=True)
class Fidelities:
    """What trials are scored by, each given the one before: the margins where they are known, then the rungs."""

    levels: Sequence[Level]

    def outlook(self, bits: Floats, bars: Sequence[Floats | None]) -> Outlook:
        """What is expected of (M, F) plans, given the (M,) accuracies to beat at every rung but the last; None where
        nothing must be beaten.

        The distribution at a rung is cut off at the bar; what is left of it is taken to be normal again.
        """
        mean, deviation, chance = np.zeros(len(bits)), np.zeros(len(bits)), np.ones(len(bits))
        for rung, level in enumerate(self.levels):
            mean, deviation = level.expect(bits, mean, deviation)
            if rung < len(bars) and (bar := bars[rung]) is not None:
                passed, mean, deviation = cut_off(mean, deviation, bar)
                chance = chance * passed
        return Outlook(chance, mean, deviation)

    def onward(self, bits: Floats, accuracies: Floats) -> Outlook:
        """What is expected of (M, F) plans that are run to the last rung, whatever they score on the way.

        Args:
            accuracies: (M, rungs) that they have up to now, NaN at rungs that they have not finished.
        """
        mean, deviation = np.zeros(len(bits)), np.zeros(len(bits))
        for rung, level in enumerate(self.levels):
            mean, deviation = level.expect(bits, mean, deviation)
            known = np.isfinite(accuracies[:, rung])
            mean = np.where(known, accuracies[:, rung], mean)
            deviation = np.where(known, LEAST_DOUBT, deviation)
        return Outlook(np.ones(len(bits)), mean, deviation)


def cut_off(mean: Floats, deviation: Floats, bar: Floats) -> tuple[Floats, Floats, Floats]:
    """Of normal values the chance to lie above a bar, and mean and standard deviation of those that do."""
    below = np.clip((bar - mean) / deviation, -FARTHEST, FARTHEST)
    chance = ndtr(-below)
    ratio = np.exp(-0.5 * below**2) / np.sqrt(2 * np.pi) / chance
    return chance, mean + deviation * ratio, deviation * np.sqrt(1.0 - ratio * (ratio - below))
