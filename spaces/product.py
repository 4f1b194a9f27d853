"""Defines spaces in which the level (op, scope, pruning) of each block is chosen independently, except in pairs.

Plans are sampled, changed and combined as one choice per block. If the choice of a block is a pair, it includes the
next block, whose own choice is ignored; it is `keep` in `choices_of`.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from spaces.block import SINGLE_BLOCKS, Block, Op, PlanError
from spaces.kinds import PLAIN, BlockKind
from spaces.levels import check_definition, check_depth, pick_levels
from spaces.plan import Plan

_MAX_MOVES = 3
"""Maximum number of moves per mutation."""
_KEEP, _PAIRED = SINGLE_BLOCKS[Op.KEEP], Block(Op.PAIRED)


class ProductSpace:
    """All plans of `num_blocks` blocks in which every block is kept or has one of `levels` that its kind can have.

    Without `kinds`, all blocks are plain.
    """

    def __init__(
        self, name: str, num_blocks: int, levels: tuple[Block, ...], kinds: tuple[BlockKind, ...] = ()
    ) -> None:
        check_definition(name, num_blocks, levels)
        self.name = name
        self.num_blocks = num_blocks
        self.kinds = kinds
        self._levels = levels
        plain = (PLAIN,) * num_blocks
        self._choices = [
            (_KEEP, *_levels_of(levels, kind, after))
            for kind, after in zip(kinds or plain, (*(kinds or plain)[1:], None), strict=True)
        ]
        check_definition(name, num_blocks, [level for choices in self._choices for level in choices[1:]])

    def within(self, kinds: tuple[BlockKind, ...]) -> "ProductSpace":
        """Return the part of the space that blocks of these kinds can have."""
        return ProductSpace(self.name, self.num_blocks, self._levels, kinds)

    @property
    def size(self) -> int:
        after, size = 0, 1  # plans of all but the block after this one, plans of the blocks after this one
        for choices in reversed(self._choices):
            pairs = sum(level.op is Op.PAIR for level in choices)
            after, size = size, (len(choices) - pairs) * size + pairs * after
        return size

    def choices(self, index: int) -> tuple[Block, ...]:
        return self._choices[index]

    def check(self, plan: Plan) -> None:
        check_depth(self.name, self.num_blocks, plan)
        for i, block in enumerate(choices_of(plan)):
            if block not in self.choices(i):
                known = ", ".join(level.name for level in self.choices(i))
                raise PlanError(
                    f"a block in space '{self.name}' must be one of {known}, got {block.name} at block {i} "
                    f"of '{plan}': change that block, or take a larger space"
                )

    def __contains__(self, plan: object) -> bool:
        if not isinstance(plan, Plan) or len(plan) != self.num_blocks:
            return False
        return all(block in self.choices(i) for i, block in enumerate(choices_of(plan)))

    def enumerate(self) -> Iterator[Plan]:
        for blocks in self._rest(0):
            yield Plan(blocks)

    def sample(self, rng: np.random.Generator) -> Plan:
        changed = rng.choice(self.num_blocks, size=rng.integers(self.num_blocks + 1), replace=False)
        levels = [_KEEP] * self.num_blocks
        for i, level in zip(changed, pick_levels(self._levels, len(changed), rng), strict=True):
            levels[i] = level
        return self._plan(levels)

    def neighbors(self, plan: Plan) -> Iterator[Plan]:
        """Yield every plan that differs in the choice of one block."""
        self.check(plan)
        choices = choices_of(plan)
        for i, old in enumerate(choices):
            if plan.blocks[i] == _PAIRED:
                continue
            for level in self.choices(i):
                if level != old:
                    yield plan_of([*choices[:i], level, *choices[i + 1 :]])

    def mutate(self, plan: Plan, rng: np.random.Generator) -> Plan:
        """Return a plan one to three moves away, with few moves more likely than many.

        A move is a level switch or another level for one block. A level switch (EvoPress, arXiv 2410.14649) exchanges
        the levels of two blocks and keeps the cost.
        """
        self.check(plan)
        choices = list(choices_of(plan))
        for _ in range(min(rng.integers(1, _MAX_MOVES + 1), rng.integers(1, _MAX_MOVES + 1))):
            if rng.random() >= 0.5 or not _switch(choices, rng):
                self._change_one(choices, rng)
        changed = self._plan(choices)
        if changed == plan:  # the moves undid each other
            choices = list(choices_of(plan))
            self._change_one(choices, rng)
            changed = self._plan(choices)
        return changed

    def crossover(self, first: Plan, second: Plan, rng: np.random.Generator) -> Plan:
        """Return a plan with some blocks of `second` and the others of `first`.

        The blocks of `second` are a run or, with probability 0.5, a random subset.
        """
        self.check(first)
        self.check(second)
        if rng.random() < 0.5:
            taken = rng.random(self.num_blocks) < 0.5
        else:
            start, end = sorted(rng.integers(self.num_blocks + 1, size=2))
            taken = (np.arange(self.num_blocks) >= start) & (np.arange(self.num_blocks) < end)
        both = zip(choices_of(first), choices_of(second), taken, strict=True)
        return self._plan([b if take else a for a, b, take in both])

    def _plan(self, choices: list[Block]) -> Plan:
        """Return the plan of these choices, with keep for levels that a block cannot have, such as a final pair."""
        return plan_of([self._fit(i, level) for i, level in enumerate(choices)])

    def _fit(self, index: int, level: Block) -> Block:
        fit = self.kinds[index].fitted(level) if self.kinds else level
        return fit if fit is not None and fit in self._choices[index] else _KEEP

    def _rest(self, start: int) -> Iterator[tuple[Block, ...]]:
        """Yield all possible blocks from `start` to the last one."""
        if start == self.num_blocks:
            yield ()
            return
        for level in self.choices(start):
            head = (level, _PAIRED) if level.op is Op.PAIR else (level,)
            for rest in self._rest(start + len(head)):
                yield (*head, *rest)

    def _change_one(self, choices: list[Block], rng: np.random.Generator) -> None:
        """Change the level of a random block whose choice is not ignored."""
        blocks = self._plan(choices).blocks
        counting = [i for i, block in enumerate(blocks) if block != _PAIRED and len(self.choices(i)) > 1]
        i = counting[rng.integers(len(counting))]
        others = [level for level in self.choices(i) if level != choices[i]]
        choices[i] = others[rng.integers(len(others))]


def _levels_of(levels: tuple[Block, ...], kind: BlockKind, after: BlockKind | None) -> list[Block]:
    """Return the levels that a block of a kind can have.

    Args:
        levels: levels to choose from.
        kind: kind of the block.
        after: kind of the next block; None for the last block.
    """
    can_pair = after is not None and after.refusal(Op.PAIRED) is None
    fits = [kind.fitted(level) for level in levels if level.op is not Op.PAIR or can_pair]
    return list(dict.fromkeys(fit for fit in fits if fit is not None))


def choices_of(plan: Plan) -> tuple[Block, ...]:
    """Return one choice per block: the blocks of the plan, in which second blocks of pairs become `keep`."""
    return tuple(_KEEP if block == _PAIRED else block for block in plan.blocks)


def plan_of(choices: Sequence[Block]) -> Plan:
    """Return the plan with these choices; the last one must not be a pair."""
    blocks = list(choices)
    for i in range(len(blocks)):
        if blocks[i].op is Op.PAIR:
            blocks[i + 1] = _PAIRED
    return Plan(tuple(blocks))


def _switch(choices: list[Block], rng: np.random.Generator) -> bool:
    """Exchange the levels of two random blocks with different levels; return False if all blocks have the same."""
    i = rng.integers(len(choices))
    others = [j for j, level in enumerate(choices) if level != choices[i]]
    if not others:
        return False
    j = others[rng.integers(len(others))]
    choices[i], choices[j] = choices[j], choices[i]
    return True
