"""Scores plans by how rarely the pairs of changes that they contain were tried together."""

import numpy as np

from search.strategies.guided.prior import Floats

NEVER = 0.5
"""Pseudo-count: a pair of bits that N trials have set together has rarity NEVER / (NEVER + N)."""


def rarity(bits: Floats, tried: Floats) -> Floats:
    """Return the (M,) mean rarity, from 0 to 1, of the pairs of bits that each plan sets.

    It leads to pairs of changes that cancel each other: each of them alone ruins the accuracy, so that evolution from
    the front never tries both.

    Args:
        bits: (M, F) bits of the plans to score.
        tried: (N, F) bits of the tried plans.
    """
    rare = NEVER / (NEVER + tried.T @ tried)
    np.fill_diagonal(rare, 0.0)
    count = bits.sum(1)
    pairs = np.maximum(count * (count - 1), 1.0)
    found: Floats = ((bits @ rare) * bits).sum(1) / pairs
    return found
