"""Made landscapes: how the margin of every question follows from a plan, in closed form, with interactions of a kind.

A plan is a row of bits, per block whether its attention and whether its FFN is left out. Every question loses margin
for every bit, and gains or loses more for pairs of bits; an answer is right as long as its margin is above 0. Kinds of
pairs:

- mild: a few weak pairs anywhere.
- neighbour: every bit with the same and the other sub-layer of the next block; strong.
- distant: as many pairs of bits of any two blocks, of both signs; strong.
- exclusive: pairs of blocks far apart of which one must stay; either alone is nearly free.
- redundant: pairs of bits that are fatal alone and harmless together, and as many of the reverse.
- fragile: as mild, but most bits alone cost most answers, so that only plans near the dense one answer anything.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
KINDS = ("mild", "neighbour", "distant", "exclusive", "redundant", "fragile")
QUESTIONS = 200
"""Questions of a made landscape."""
FATAL = 8.0
"""Margin in nats that a fatal pair costs; the dense plan has 3 on average."""
TOTAL, FRAGILE = 14.0, 1.8
"""Margin in nats that leaving out everything costs on average, without pairs; for fragile, every single bit costs."""
BASE_COST = 0.06
"""Share of the dense FLOPs that no plan saves."""


@dataclass(frozen=True)
class Formula:
    """The margins of one made landscape. L blocks, F = 2 L bits, Q questions."""

    kind: str
    num_blocks: int
    tail: float = 1.0
    """Standard deviation of the logarithm of what bits cost: 1 is usual, 2 has heavy tails."""
    seed: int = 0

    @cached_property
    def tolls(self) -> Floats:
        """Return the margin that every bit costs every question, (F, Q)."""
        rng = np.random.default_rng([self.seed, self.num_blocks, 1])
        bits = 2 * self.num_blocks
        total = FRAGILE * bits if self.kind == "fragile" else TOTAL
        if self.kind == "fragile":
            # Three quarters of the bits are costly, the others nearly free.
            scale = np.where(rng.random(bits) < 0.75, 1.0, 0.05) * rng.lognormal(0, 0.4 * self.tail, bits)
        else:
            scale = rng.lognormal(0, self.tail, bits)
        per_question = rng.lognormal(0, 0.6, (bits, QUESTIONS))
        tolls: Floats = scale[:, None] * per_question
        return tolls * total / tolls.sum(0).mean()

    @cached_property
    def start(self) -> Floats:
        """Return the margins of the dense plan, (Q,)."""
        return np.random.default_rng([self.seed, self.num_blocks, 2]).normal(3.0, 1.5, QUESTIONS)

    @cached_property
    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
        """Return first bits, second bits, and the margin that leaving out both adds, (P,), (P,) and (P,)."""
        rng = np.random.default_rng([self.seed, self.num_blocks, 3])
        bits, mean = 2 * self.num_blocks, self.tolls.mean(1)
        if self.kind == "neighbour":
            first = np.concatenate([np.arange(bits - 2), np.arange(1, bits - 1, 2)])
            second = np.concatenate([np.arange(2, bits), np.arange(2, bits, 2)])
            weight = rng.choice([-1.5, 0.7], len(first)) * rng.lognormal(0, 0.7, len(first)) * mean.mean() * 2
        elif self.kind == "distant":
            first, second = _far(rng, bits, 2 * self.num_blocks)
            weight = rng.choice([-1.5, 0.7], len(first)) * rng.lognormal(0, 0.7, len(first)) * mean.mean() * 2
        elif self.kind == "exclusive":
            blocks = rng.permutation(self.num_blocks)[: self.num_blocks // 2 * 2].reshape(2, -1)
            first, second = (np.concatenate([2 * each, 2 * each + 1]) for each in blocks[:, : self.num_blocks // 3])
            weight = np.full(len(first), -FATAL / 2)
        elif self.kind == "redundant":
            first, second = _far(rng, bits, self.num_blocks // 3, disjoint=True)
            weight = np.where(np.arange(len(first)) % 2, -FATAL, 2 * FATAL)
        else:
            first, second = _far(rng, bits, self.num_blocks // 2)
            weight = rng.choice([-1.0, 0.5], len(first)) * mean.mean()
        return first, second, weight

    @cached_property
    def alone(self) -> Floats:
        """Return the margin that bits cost every question alone, (F, Q); bits of a pair that frees both cost more."""
        tolls = self.tolls.copy()
        for one, other, weight in zip(*self.pairs, strict=True):
            if weight >= FATAL:
                tolls[[one, other]] += weight / 2
        return tolls

    def margins(self, bits: Floats) -> Floats:
        """Return the margins, (N, Q), of (N, F) plans."""
        first, second, weight = self.pairs
        together = (bits[:, first] * bits[:, second]) @ weight
        margins: Floats = self.start - bits @ self.alone + together[:, None]
        return margins

    def costs(self, bits: Floats) -> Floats:
        """Return the FLOPs ratios, (N,), of (N, F) plans: an attention has half of the FLOPs of an FFN."""
        share = np.tile([1.0, 2.0], self.num_blocks)
        costs: Floats = 1.0 - (1.0 - BASE_COST) * (bits @ (share / share.sum()))
        return costs

    @cached_property
    def importance(self) -> tuple[tuple[float, float], ...]:
        """Return what gates on every attention and FFN win, as far as they are drawn one by one: their mean effect
        while all others are half open, which pairs that free each other hide."""
        first, second, weight = self.pairs
        mean = self.alone.mean(1)
        np.subtract.at(mean, first, weight / 2)
        np.subtract.at(mean, second, weight / 2)
        noise = np.random.default_rng([self.seed, 4]).lognormal(0, 0.3, len(mean))
        return tuple((float(a), float(f)) for a, f in (np.maximum(mean, 0.0) * noise).reshape(-1, 2))


def _far(
    rng: np.random.Generator, bits: int, count: int, disjoint: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return `count` pairs of bits of blocks that are no neighbours; disjoint: no bit in two of them."""
    pairs: dict[tuple[int, int], None] = {}
    used: set[int] = set()
    while len(pairs) < count:
        one, other = sorted(map(int, rng.integers(bits, size=2)))
        if other // 2 - one // 2 < 3 or (disjoint and {one, other} & used):
            continue
        pairs[one, other] = None
        used |= {one, other}
    table = np.array(list(pairs), dtype=np.int64)
    return table[:, 0], table[:, 1]
