"""Spaces in which every block has its op independently of the others."""

import itertools
import math
from collections.abc import Iterator

import numpy as np

from spaces.block import Op, PlanError
from spaces.moves import check_definition, check_depth, pick_ops
from spaces.plan import Plan

_MAX_MOVES = 3


class ProductSpace:
    """All plans of `num_blocks` blocks in which every block is kept or has one of `ops`."""

    def __init__(self, name: str, num_blocks: int, ops: tuple[Op, ...]) -> None:
        check_definition(name, num_blocks, ops)
        self.name = name
        self.num_blocks = num_blocks
        self._ops = ops

    @property
    def size(self) -> int:
        return math.prod(len(self.choices(i)) for i in range(self.num_blocks))

    def choices(self, index: int) -> tuple[Op, ...]:
        return (Op.KEEP, *self._ops)

    def check(self, plan: Plan) -> None:
        check_depth(self.name, self.num_blocks, plan)
        for i, op in enumerate(plan.ops):
            if op not in self.choices(i):
                known = ", ".join(self.choices(i))
                raise PlanError(
                    f"a block in space '{self.name}' must be one of {known}, got {op} at block {i} "
                    f"of '{plan}': change that block, or take a larger space"
                )

    def __contains__(self, plan: object) -> bool:
        if not isinstance(plan, Plan) or len(plan) != self.num_blocks:
            return False
        return all(op in self.choices(i) for i, op in enumerate(plan.ops))

    def enumerate(self) -> Iterator[Plan]:
        for ops in itertools.product(*(self.choices(i) for i in range(self.num_blocks))):
            yield Plan.of(ops)

    def sample(self, rng: np.random.Generator) -> Plan:
        changed = rng.choice(self.num_blocks, size=rng.integers(self.num_blocks + 1), replace=False)
        ops = [Op.KEEP] * self.num_blocks
        for i, op in zip(changed, pick_ops(self._ops, len(changed), rng), strict=True):
            ops[i] = op
        return Plan.of(ops)

    def neighbors(self, plan: Plan) -> Iterator[Plan]:
        """Every plan that differs in one block."""
        self.check(plan)
        for i, old in enumerate(plan.ops):
            for op in self.choices(i):
                if op is not old:
                    yield plan.replace(i, op)

    def mutate(self, plan: Plan, rng: np.random.Generator) -> Plan:
        """One to three moves, few more often than many, each a level switch or another op for one block.

        A level switch (EvoPress, arXiv 2410.14649) exchanges the ops of two blocks, so that the cost stays.
        """
        self.check(plan)
        ops = list(plan.ops)
        for _ in range(min(rng.integers(1, _MAX_MOVES + 1), rng.integers(1, _MAX_MOVES + 1))):
            if rng.random() >= 0.5 or not _switch(ops, rng):
                self._change_one(ops, rng)
        if tuple(ops) == plan.ops:  # the moves undid each other
            self._change_one(ops, rng)
        return Plan.of(ops)

    def crossover(self, first: Plan, second: Plan, rng: np.random.Generator) -> Plan:
        """Takes a run of blocks, or in half of the cases any blocks, from `second`, the rest from `first`."""
        self.check(first)
        self.check(second)
        if rng.random() < 0.5:
            taken = rng.random(self.num_blocks) < 0.5
        else:
            start, end = sorted(rng.integers(self.num_blocks + 1, size=2))
            taken = (np.arange(self.num_blocks) >= start) & (np.arange(self.num_blocks) < end)
        return Plan.of(b if take else a for a, b, take in zip(first.ops, second.ops, taken, strict=True))

    def _change_one(self, ops: list[Op], rng: np.random.Generator) -> None:
        i = int(rng.integers(self.num_blocks))
        others = [op for op in self.choices(i) if op is not ops[i]]
        ops[i] = others[rng.integers(len(others))]


def _switch(ops: list[Op], rng: np.random.Generator) -> bool:
    """Exchanges the ops of two random blocks with different ops; False where all blocks have the same op."""
    i = rng.integers(len(ops))
    others = [j for j, op in enumerate(ops) if op is not ops[i]]
    if not others:
        return False
    j = others[rng.integers(len(others))]
    ops[i], ops[j] = ops[j], ops[i]
    return True
