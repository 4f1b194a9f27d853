"""Defines the measured values of the embedded model's card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spaces.plan import Op, Plan
from workers.requests import TuningRecipe


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval; images are resampled, since questions about one are not independent."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, scores: np.ndarray, images: np.ndarray) -> Interval:
        """Return the interval of a mean score.

        Args:
            scores: (questions,) scores.
            images: (questions,) numbers of the images of the questions.
        """
        totals = np.bincount(images, weights=scores)
        counts = np.bincount(images)
        draws = np.random.default_rng(0).integers(0, len(totals), (4000, len(totals)))
        means = totals[draws].sum(1) / counts[draws].sum(1)
        return cls(float(scores.mean()), *(float(bound) for bound in np.percentile(means, [2.5, 97.5])))


@dataclass(frozen=True)
class Tuned:
    """A plan before and after brief tuning, on the same questions."""

    plan: Plan
    flops_ratio: float
    before: Interval
    after: Interval
    gain: Interval
    """Interval of the difference, paired by question."""


@dataclass(frozen=True)
class Kind:
    """One kind of question on `test`."""

    accuracy: Interval
    majority: float
    """Accuracy of always giving the most common answer to that kind."""
    blind: float
    """Accuracy with the image features of another image."""


@dataclass(frozen=True)
class Measured:
    """All measured values of the card."""

    kinds: dict[str, Kind]
    """By name, with `all` last."""
    singles: dict[Op, list[Tuned]]
    """One plan per block, on `search`."""
    spread: list[Tuned]
    """On `test`."""
    seconds: dict[str, float]
    """CPU seconds of `evaluate` on all of `search`, and of a tuning `step`."""
    recipe: TuningRecipe
    steps: int
    origin: dict[str, Any]
