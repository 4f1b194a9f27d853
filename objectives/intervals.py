"""Computes bootstrap intervals of a mean score, and of the difference between two models on the same questions."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

#: Number of bootstrap resamples; the ends of a 95 % interval then vary by about 1 % of its width.
NUM_RESAMPLES = 2000
CHUNK = 2**20
"""Number of draws that are in memory at a time."""


def bootstrap_interval(scores: Sequence[float], level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean (Efron 1979).

    Args:
        scores: one score per question, or one difference per question for a paired comparison.
        level: coverage, in (0, 1).
        seed: seed of the resampling; the same scores and seed give the same interval.

    Returns:
        The lower and the upper end.

    Raises:
        ValueError: no scores, or a level outside (0, 1).
    """
    values = np.asarray(scores, dtype=np.float64)
    if not len(values):
        raise ValueError("an interval needs at least one score, got none: evaluate some questions first")
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval must lie in (0, 1), got {level}: use 0.95, for example")
    low, high = np.quantile(resampled_means(values, seed), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resampled_means(values: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """Return the means over each bootstrap resample of the questions, (resamples, ...).

    Args:
        values: (questions, ...) values per question.
        seed: seed of the resampling; the same number of questions and seed give the same resamples.
    """
    sums = [counts.astype(np.float64) @ values for counts in _resamples(len(values), seed)]
    return np.concatenate(sums) / len(values)


@lru_cache(maxsize=2)
def _resamples(size: int, seed: int) -> tuple[NDArray[np.uint16], ...]:
    """Return how often each score is drawn in each resample, (resamples, size) in pieces.

    All intervals of a report are of the same questions, so that the draws are made once.
    """
    rng, rows = np.random.default_rng(seed), max(1, CHUNK // size)
    pieces = []
    for first in range(0, NUM_RESAMPLES, rows):
        height = min(rows, NUM_RESAMPLES - first)
        drawn = rng.integers(size, size=(height, size)) + size * np.arange(height)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=height * size).reshape(height, size)
        pieces.append(counts.astype(np.uint16))
    return tuple(pieces)


def paired_interval(
    scores: Sequence[float], reference: Sequence[float], level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return the bootstrap interval of the mean difference `scores - reference`, paired by question.

    Args:
        scores: one score per question.
        reference: one score per question, in the same order.
        level: coverage, in (0, 1).
        seed: seed of the resampling.

    Raises:
        ValueError: the two have different lengths, no scores, or a level outside (0, 1).
    """
    if len(scores) != len(reference):
        raise ValueError(
            f"a paired interval needs the same questions twice, got {len(scores)} and {len(reference)} scores: "
            "evaluate both on one split"
        )
    return bootstrap_interval(np.subtract(scores, reference), level, seed)  # type: ignore[arg-type]
