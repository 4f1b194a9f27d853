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

from search.strategies.guided.prior import USUAL, Floats
from search.strategies.guided.surrogate import Surrogate

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
        """Return the slope of the accuracy against that at the rung before."""
        ...

    @property
    def weights(self) -> Floats:
        """Return (F,) of the surrogate of what the trend leaves, before they are fitted."""
        ...

    def base(self, bits: Floats) -> Floats:
        """Return (M,) accuracies to expect of (M, F) plans, without what follows from the rung before."""
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

    def base(self, bits: Floats) -> Floats:
        return np.full(len(bits), self.offset)


@dataclass(frozen=True)
class Rise:
    """What is known of a score of M plans, given the score before: `base` and `slope` times that."""

    base: Floats
    """(M,)."""
    slope: float
    own: Floats
    """(M,) standard deviation where there is no doubt about the score before."""

    def after(self, before: Floats, doubt: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the score, given those of the one before; (M,) each."""
        return self.base + self.slope * before, np.hypot(self.slope * doubt, self.own)


class Level(Protocol):
    """What is known of one score."""

    def rise(self, bits: Floats) -> Rise:
        """To the score, of (M, F) plans."""
        ...


@dataclass(frozen=True)
class Step:
    """A level as a step from the one before."""

    trend: Trend
    surrogate: Surrogate
    """Of what the trend leaves."""

    def rise(self, bits: Floats) -> Rise:
        more, own = self.surrogate.predict(bits)
        return Rise(self.trend.base(bits) + more, self.trend.slope, own)


class Same:
    """A level that is the one before."""

    def rise(self, bits: Floats) -> Rise:
        return Rise(np.zeros(len(bits)), 1.0, np.zeros(len(bits)))


@dataclass(frozen=True)
class Outlook:
    """What is expected of M plans at the last rung: (M,) each."""

    chance: Floats
    """Of getting there."""
    mean: Floats
    """Accuracy of those that do."""
    deviation: Floats


@dataclass(frozen=True)
class Prospects:
    """What is known of M plans, score by score."""

    rises: Sequence[Rise]

    def outlook(self, bars: Sequence[Floats | None] = ()) -> Outlook:
        """At the last rung, given the (M,) scores to beat on the way; None where nothing must be beaten.

        The distribution at a rung is cut off at the bar; what is left of it is taken to be normal again.
        """
        mean, deviation, chance = self._start()
        for rung, rise in enumerate(self.rises):
            mean, deviation = rise.after(mean, deviation)
            if rung < len(bars) and (bar := bars[rung]) is not None:
                passed, mean, deviation = cut_off(mean, deviation, bar)
                chance = chance * passed
        return Outlook(chance, mean, deviation)

    def onward(self, scores: Floats) -> Outlook:
        """At the last rung, of trials that are run to it whatever they score on the way.

        Args:
            scores: (M, S) that they have up to now, NaN at rungs that they have not finished.
        """
        mean, deviation, chance = self._start()
        for rung, rise in enumerate(self.rises):
            mean, deviation = rise.after(mean, deviation)
            known = np.isfinite(scores[:, rung])
            mean = np.where(known, scores[:, rung], mean)
            deviation = np.where(known, LEAST_DOUBT, deviation)
        return Outlook(chance, mean, deviation)

    def _start(self) -> tuple[Floats, Floats, Floats]:
        """Mean, standard deviation and chance before the first score."""
        count = len(self.rises[0].base)
        return np.zeros(count), np.zeros(count), np.ones(count)


@dataclass(frozen=True)
class Fidelities:
    """What trials are scored by, each given the one before: the margins where they are known, then the rungs."""

    levels: Sequence[Level]

    def of(self, bits: Floats) -> Prospects:
        """Return the outlook of (M, F) plans."""
        return Prospects([level.rise(bits) for level in self.levels])


def cut_off(mean: Floats, deviation: Floats, bar: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the probability that normal values exceed a bar, and mean and standard deviation of those that do."""
    below = np.clip((bar - mean) / deviation, -FARTHEST, FARTHEST)
    chance = ndtr(-below)
    ratio = np.exp(-0.5 * below**2) / np.sqrt(2 * np.pi) / chance
    return chance, mean + deviation * ratio, deviation * np.sqrt(1.0 - ratio * (ratio - below))
