"""Plans near given ones, many at a time: crossover, then level switches and single changes.

For spaces whose blocks are chosen independently the moves of `spaces.product` are made on whole tables of codes,
which is what lets thousands of plans be looked at for one proposal; other spaces make their own moves, fewer of
them.
"""

import numpy as np

from search.strategies.plan_bits import Codes, Coding
from spaces.product import ProductSpace
from spaces.spaces import Space

CROSSOVER_RATE = 0.4
MOST_MOVES = 3
SLOW_SHARE = 4
"""A space that makes its own moves gives this many times fewer children."""


def children(space: Space, coding: Coding, parents: Codes, count: int, rng: np.random.Generator) -> Codes:
    """About `count` (N, L) plans of the space, near the (P, L) parents and each other's mixtures."""
    if isinstance(space, ProductSpace):
        return _table(coding, parents, count, rng)
    plans = [coding.decode(code) for code in parents]
    born = []
    for _ in range(count // SLOW_SHARE):
        child = plans[rng.integers(len(plans))]
        if rng.random() < CROSSOVER_RATE:
            child = space.crossover(child, plans[rng.integers(len(plans))], rng)
        born.append(space.mutate(child, rng))
    return coding.encode(born)


def _table(coding: Coding, parents: Codes, count: int, rng: np.random.Generator) -> Codes:
    num_blocks = parents.shape[1]
    born = parents[rng.integers(len(parents), size=count)]
    others = parents[rng.integers(len(parents), size=count)]
    taken = (rng.random(born.shape) < 0.5) & (rng.random(count) < CROSSOVER_RATE)[:, None]
    born = np.where(taken, others, born)
    moves = np.minimum(*rng.integers(1, MOST_MOVES + 1, size=(2, count)))
    rows = np.arange(count)
    for move in range(MOST_MOVES):
        active = moves > move
        first, second = rng.integers(num_blocks, size=(2, count))
        one, other = born[rows, first], born[rows, second]
        counts = coding.counts[first]
        fits = np.maximum(one, other) < np.minimum(counts, coding.counts[second])
        switched = active & (one != other) & fits & (rng.random(count) < 0.5)
        changed = active & ~switched
        moved = (one + rng.integers(1, counts)) % counts
        # `first` comes last: where both are the same block its change counts.
        born[rows, second] = np.where(switched, one, other)
        born[rows, first] = np.where(switched, other, np.where(changed, moved, one))
    return born
