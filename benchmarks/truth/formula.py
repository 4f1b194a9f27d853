"""Computes the margins of artificial landscapes from the plan, in closed form, with interactions of a chosen kind.

A plan is a row of bits: per block, 1 if its attention is skipped, and 1 if its FFN is. Every question loses margin for
every set bit, and gains or loses more for pairs of set bits; an answer is right if its margin is above 0. Kinds of
pairs:

- mild: a few weak pairs anywhere.
- neighbour: every bit with the same and the other sub-layer of the next block; strong.
- distant: as many pairs of bits of any two blocks, of both signs; strong.
- exclusive: pairs of distant blocks of which one must stay; skipping one of them costs little margin.
- redundant: pairs of bits that are fatal alone and harmless together, and as many that are the reverse.
- fragile: as mild, but most bits alone make most answers wrong, so that only plans near the dense one are accurate.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
KINDS = ("mild", "neighbour", "distant", "exclusive", "redundant", "fragile")
QUESTIONS = 200
"""Questions of an artificial landscape."""
FATAL = 8.0
"""Margin in nats that a fatal pair costs; the dense plan has 3 on average."""
TOTAL, FRAGILE = 14.0, 1.8
"""Mean margin in nats that skipping everything costs without pairs; FRAGILE: mean margin of a bit of `fragile`."""
BASE_COST = 0.06
"""Share of the dense FLOPs that no plan saves."""


@dataclass(frozen=True)
class Formula:
    """The margins of one artificial landscape. L blocks, F = 2 L bits, Q questions."""

    kind: str
    num_blocks: int
    tail: float = 1.0
    """Standard deviation of the logarithm of the margins that bits cost: 1 is usual, 2 has heavy tails."""
    seed: int = 0

    @cached_property
    def tolls(self) -> Floats:
        """Return the margin that every bit costs every question, (F, Q)."""
        rng = np.random.default_rng([self.seed, self.num_blocks, 1])
        bits = 2 * self.num_blocks
        total = FRAGILE * bits if self.kind == "fragile" else TOTAL
        if self.kind == "fragile":
            # 75 % of the bits cost much margin, the others little.
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
        """Return first bits, second bits, and the margin in nats that setting both adds, (P,), (P,) and (P,)."""
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
        """Return the margin that every bit alone costs every question, (F, Q); more for bits harmless in a pair."""
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
        """Return the FLOPs ratios, (N,), of (N, F) plans: attention has 50 % of the FLOPs of the FFN."""
        share = np.tile([1.0, 2.0], self.num_blocks)
        costs: Floats = 1.0 - (1.0 - BASE_COST) * (bits @ (share / share.sum()))
        return costs

    @cached_property
    def importance(self) -> tuple[tuple[float, float], ...]:
        """Return the importance of attention and FFN of every block, as `Observation.importance`.

        It is the mean effect of a gate while each other gate is open with probability 0.5, so that pairs that are
        harmless together have low importance.
        """
        first, second, weight = self.pairs
        mean = self.alone.mean(1)
        np.subtract.at(mean, first, weight / 2)
        np.subtract.at(mean, second, weight / 2)
        noise = np.random.default_rng([self.seed, 4]).lognormal(0, 0.3, len(mean))
        return tuple((float(a), float(f)) for a, f in (np.maximum(mean, 0.0) * noise).reshape(-1, 2))


def _far(
    rng: np.random.Generator, bits: int, count: int, disjoint: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return `count` pairs of bits of non-adjacent blocks; disjoint: no bit is in two pairs."""
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
