"""Defines the interval space of "Skipping Computations in Multimodal LLMs" (arXiv 2410.09454).

A plan of this space has one op (with its scope), an interval, a start and an end: block i is changed if
start < i < end and i is a multiple of the interval. Many of these settings give the same plan, which is counted once.
The changed blocks are a single block, or a run of two or more consecutive multiples of one interval.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from spaces.block import SINGLE_BLOCKS, Block, Op, PlanError
from spaces.kinds import BlockKind
from spaces.levels import check_definition, check_depth
from spaces.plan import Plan


class Run(NamedTuple):
    """The changed blocks: first, first + interval, ..., last. A single block has interval 1."""

    interval: int
    first: int
    last: int

    @property
    def blocks(self) -> range:
        """Return the indices of the changed blocks."""
        return range(self.first, self.last + 1, self.interval)


def run_of(interval: int, start: int, end: int, num_blocks: int) -> Run | None:
    """Return the run of blocks i with start < i < end that are multiples of the interval; None if there are none.

    Args:
        interval: the interval, at least 1.
        start, end: exclusive bounds.
        num_blocks: number of blocks of the model.
    """
    multiples = [i for i in range(0, num_blocks, interval) if start < i < end]
    if not multiples:
        return None
    return Run(interval if len(multiples) > 1 else 1, multiples[0], multiples[-1])


class IntervalSpace:
    """All plans that the interval rule gives with one of `levels`, including the dense plan."""

    def __init__(self, name: str, num_blocks: int, levels: tuple[Block, ...]) -> None:
        check_definition(name, num_blocks, levels)
        self.name = name
        self.num_blocks = num_blocks
        self.kinds: tuple[BlockKind, ...] = ()
        self._levels = levels

    def within(self, kinds: tuple[BlockKind, ...]) -> "IntervalSpace":
        """Return the space of the levels that blocks of all these kinds can have."""
        levels = tuple(level for level in self._levels if all(kind.fitted(level) == level for kind in kinds))
        space = IntervalSpace(self.name, self.num_blocks, levels)
        space.kinds = kinds
        return space

    @property
    def size(self) -> int:
        multiples = [len(range(0, self.num_blocks, k)) for k in range(1, self.num_blocks)]
        longer_runs = sum(m * (m - 1) // 2 for m in multiples)
        return 1 + len(self._levels) * (self.num_blocks + longer_runs)

    def choices(self, index: int) -> tuple[Block, ...]:
        return (SINGLE_BLOCKS[Op.KEEP], *self._levels)

    def check(self, plan: Plan) -> None:
        check_depth(self.name, self.num_blocks, plan)
        changed = [(i, block) for i, block in enumerate(plan.blocks) if not block.is_kept]
        kinds = {block for _, block in changed}
        if kinds - set(self._levels) or len(kinds) > 1:
            known = ", ".join(level.name for level in self._levels)
            raise PlanError(
                f"a plan of space '{self.name}' must use one op of {known}, got '{plan}': "
                "use one of them, or take a larger space"
            )
        if changed and _run([i for i, _ in changed]) is None:
            raise PlanError(
                f"the changed blocks of a plan of space '{self.name}' must be consecutive multiples of one "
                f"interval, got '{plan}': change every k-th block, counted from 0, or take a larger space"
            )

    def __contains__(self, plan: object) -> bool:
        if not isinstance(plan, Plan):
            return False
        try:
            self.check(plan)
        except PlanError:
            return False
        return True

    def enumerate(self) -> Iterator[Plan]:
        yield Plan.dense(self.num_blocks)
        for level in self._levels:
            for run in self._runs():
                yield self._plan(level, run)

    def sample(self, rng: np.random.Generator) -> Plan:
        count = rng.integers(self.num_blocks + 1)
        if count == 0:
            return Plan.dense(self.num_blocks)
        runs = [run for run in self._runs() if len(run.blocks) == count]
        return self._plan(self._random_level(rng), runs[rng.integers(len(runs))])

    def neighbors(self, plan: Plan) -> Iterator[Plan]:
        """Yield the plans with another op, a longer or shorter run, a shifted run, or the next interval."""
        self.check(plan)
        level, run = self._setting(plan)
        if level is None or run is None:
            near = {self._plan(each, Run(1, i, i)) for each in self._levels for i in range(self.num_blocks)}
        else:
            near = {self._plan(other, run) for other in self._levels}
            near |= {self._plan(level, other) for other in self._runs_near(run)}
            if len(run.blocks) == 1:
                near.add(Plan.dense(self.num_blocks))
        yield from sorted(near - {plan}, key=str)

    def mutate(self, plan: Plan, rng: np.random.Generator) -> Plan:
        near = list(self.neighbors(plan))
        return near[rng.integers(len(near))]

    def crossover(self, first: Plan, second: Plan, rng: np.random.Generator) -> Plan:
        """Return a plan whose op, interval, start and end each come from a random parent; a parent if one is dense."""
        self.check(first)
        self.check(second)
        settings = [self._setting(first), self._setting(second)]
        present = [(level, run) for level, run in settings if level is not None and run is not None]
        if len(present) < 2:
            return (first, second)[rng.integers(2)]
        level, interval, start, end = (present[k] for k in rng.integers(2, size=4))
        run = run_of(interval[1].interval, start[1].first - 1, end[1].last + 1, self.num_blocks)
        return first if run is None else self._plan(level[0], run)

    def _runs(self) -> Iterator[Run]:
        for i in range(self.num_blocks):
            yield Run(1, i, i)
        for k in range(1, self.num_blocks):
            for first in range(0, self.num_blocks, k):
                for last in range(first + k, self.num_blocks, k):
                    yield Run(k, first, last)

    def _runs_near(self, run: Run) -> Iterator[Run]:
        intervals = [run.interval]
        if run.first == run.last:  # a single block belongs to every interval that divides it
            intervals = [k for k in range(1, self.num_blocks) if run.first % k == 0]
        for k in intervals:
            yield from self._shifted(run._replace(interval=k))
        for k in (run.interval - 1, run.interval + 1):
            other = run_of(k, run.first - 1, run.last + 1, self.num_blocks) if k > 0 else None
            if other is not None:
                yield other

    def _shifted(self, run: Run) -> Iterator[Run]:
        for by_first, by_last in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1)):
            first, last = run.first + by_first * run.interval, run.last + by_last * run.interval
            if 0 <= first <= last < self.num_blocks:
                yield Run(run.interval if first < last else 1, first, last)

    def _setting(self, plan: Plan) -> tuple[Block | None, Run | None]:
        changed = [i for i, op in enumerate(plan.ops) if op is not Op.KEEP]
        return (plan.blocks[changed[0]], _run(changed)) if changed else (None, None)

    def _plan(self, level: Block, run: Run) -> Plan:
        return Plan.of(level if i in run.blocks else Op.KEEP for i in range(self.num_blocks))

    def _random_level(self, rng: np.random.Generator) -> Block:
        return self._levels[rng.integers(len(self._levels))]


def _run(changed: list[int]) -> Run | None:
    """Return the run that these block indices, in ascending order, form, or None."""
    if len(changed) == 1:
        return Run(1, changed[0], changed[0])
    run = Run(changed[1] - changed[0], changed[0], changed[-1])
    return run if run.first % run.interval == 0 and list(run.blocks) == changed else None
