"""Children of many plans at once: crossover, then level switches and single changes.

For spaces whose blocks are chosen independently, the moves of `spaces.product` are applied to whole tables of codes,
which makes it possible to rank thousands of plans per proposal. Other spaces apply their own moves, to one plan at a
time and to fewer plans.
"""

import numpy as np

from search.strategies.plan_bits import Codes, Coding
from spaces.product import ProductSpace
from spaces.spaces import Space

CROSSOVER_RATE = 0.4
"""Probability that a child has two parents instead of one."""
MAX_MOVES = 3
"""Maximum number of moves per child: the smaller of two uniform draws from 1 to this."""
SLOW_SHARE = 4
"""Factor by which the number of children is reduced in spaces that apply their own moves."""


def children(space: Space, coding: Coding, parents: Codes, count: int, rng: np.random.Generator) -> Codes:
    """Return (N, L) codes of children, duplicates included.

    Args:
        space: the space that the children belong to.
        coding: the codes of this space.
        parents: (P, L) codes.
        count: number of children; divided by `SLOW_SHARE` in spaces whose blocks depend on each other.
        rng: source of all random choices.
    """
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


def two_changed(space: Space, coding: Coding, parents: Codes, count: int, rng: np.random.Generator) -> Codes:
    """Return (N, L) codes of parents with two neighboring blocks changed, for changes that only save together.

    Stock layers save a skipped FFN only beside a skipped attention. The arguments are those of `children`; spaces whose
    blocks depend on each other have none.
    """
    if not isinstance(space, ProductSpace) or parents.shape[1] < 2:
        return parents[:0]
    born = parents[rng.integers(len(parents), size=count)]
    first = rng.integers(parents.shape[1] - 1, size=count)
    for block in (first, first + 1):
        born[np.arange(count), block] = rng.integers(coding.counts[block])
    return born


def _table(coding: Coding, parents: Codes, count: int, rng: np.random.Generator) -> Codes:
    num_blocks = parents.shape[1]
    born = parents[rng.integers(len(parents), size=count)]
    others = parents[rng.integers(len(parents), size=count)]
    taken = (rng.random(born.shape) < 0.5) & (rng.random(count) < CROSSOVER_RATE)[:, None]
    born = np.where(taken, others, born)
    moves = np.minimum(*rng.integers(1, MAX_MOVES + 1, size=(2, count)))
    rows = np.arange(count)
    for move in range(MAX_MOVES):
        active = moves > move
        first, second = rng.integers(num_blocks, size=(2, count))
        one, other = born[rows, first], born[rows, second]
        counts = coding.counts[first]
        fits = np.maximum(one, other) < np.minimum(counts, coding.counts[second])
        switched = active & (one != other) & fits & (rng.random(count) < 0.5)
        changed = active & ~switched
        moved = (one + rng.integers(1, counts)) % counts
        # `first` is written last: if both are the same block, its change is the one that counts.
        born[rows, second] = np.where(switched, one, other)
        born[rows, first] = np.where(switched, other, np.where(changed, moved, one))
    return born
