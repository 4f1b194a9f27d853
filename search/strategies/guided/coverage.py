"""Plans for coverage: near the front, and unlike what was tried."""

import numpy as np

from search.strategies.guided.prior import Floats

NEVER = 0.5
"""Trials that count as having left out a pair of bits together where none has."""


def rarity(bits: Floats, tried: Floats) -> Floats:
    """Return how rare the pairs of bits of plans are among the tried plans, (M,), from 0 to 1.

    Args:
        bits: (M, F) of the plans.
        tried: (N, F) of the tried ones.

    Redundant blocks are found that way: each is fatal alone, so that no plan near the front leaves out both.
    """
    rare = NEVER / (NEVER + tried.T @ tried)
    np.fill_diagonal(rare, 0.0)
    count = bits.sum(1)
    pairs = np.maximum(count * (count - 1), 1.0)
    found: Floats = ((bits @ rare) * bits).sum(1) / pairs
    return found
