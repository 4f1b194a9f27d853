"""What a search space must offer, and the spaces by name."""

from collections.abc import Callable, Iterable, Iterator
from inspect import signature
from typing import Any, Protocol

import numpy as np

from spaces.block import SINGLE_OPS, Block, Op, PlanError, Variant, as_op, as_scope
from spaces.interval import IntervalSpace
from spaces.kinds import BlockKind
from spaces.names import unknown
from spaces.plan import Plan
from spaces.product import ProductSpace
from spaces.pruning import Pruning
from spaces.pruning_forms import pruning_of_text
from spaces.scope import Scope

PRUNINGS = ("ffn75", "ffn50", "ffn25", "h50", "w50", "w2:4")
"""What the space `full` may prune a block by unless told otherwise (`spaces.pruning_forms`)."""
NON_KEEP = tuple(op for op in SINGLE_OPS if op is not Op.KEEP)


class Space(Protocol):
    """A finite set of plans of one depth that holds the dense plan and at least one other."""

    @property
    def name(self) -> str: ...

    @property
    def num_blocks(self) -> int: ...

    @property
    def kinds(self) -> tuple[BlockKind, ...]:
        """The kinds of the model's blocks, whose ops alone the space offers; empty: all are plain."""
        ...

    @property
    def size(self) -> int:
        """The number of distinct plans, exactly."""
        ...

    def within(self, kinds: tuple[BlockKind, ...]) -> "Space":
        """What of the space a model with blocks of these kinds can have."""
        ...

    def choices(self, index: int) -> tuple[Block, ...]:
        """Every op, with its scope, that block `index` has in some plan of the space; `keep` first.

        The second block of a pair has no choice of its own: `spaces.product.choices_of` reads `keep` there.
        """
        ...

    def check(self, plan: Plan) -> None:
        """Raises PlanError, with the reason, for a plan that is not in the space."""
        ...

    def __contains__(self, plan: object) -> bool: ...

    def enumerate(self) -> Iterator[Plan]:
        """Every plan exactly once, always in the same order, the dense plan first."""
        ...

    def sample(self, rng: np.random.Generator) -> Plan:
        """A random plan; the number of changed blocks is uniform, so the whole range of FLOPs is covered."""
        ...

    def neighbors(self, plan: Plan) -> Iterator[Plan]:
        """Every plan of the space that is one elementary step away, each exactly once."""
        ...

    def mutate(self, plan: Plan, rng: np.random.Generator) -> Plan:
        """A random plan of the space near `plan` and different from it."""
        ...

    def crossover(self, first: Plan, second: Plan, rng: np.random.Generator) -> Plan:
        """A plan of the space that takes after both; it may equal one of them."""
        ...


def blocks(num_blocks: int, ops: Iterable[Op | str] = (Op.SKIP_BLOCK,)) -> Space:
    """Every block is kept or skipped."""
    return ProductSpace("blocks", num_blocks, _levels(ops))


def layers(num_blocks: int, ops: Iterable[Op | str] = NON_KEEP) -> Space:
    """Every block is kept, or changed by an op of its own."""
    return ProductSpace("layers", num_blocks, _levels(ops))


def interval(
    num_blocks: int, ops: Iterable[Op | str] = NON_KEEP, scopes: Iterable[Scope | str] = (Scope.ALL,)
) -> Space:
    """One op at every k-th block of a range of blocks (arXiv 2410.09454)."""
    return IntervalSpace("interval", num_blocks, _levels(ops, scopes))


def scoped(
    num_blocks: int,
    ops: Iterable[Op | str] = NON_KEEP,
    scopes: Iterable[Scope | str] = tuple(Scope),
    pairs: bool = False,
) -> Space:
    """Every block is kept, or changed by an op of its own for tokens of its own; with `pairs` also two as one."""
    levels = _levels(ops, scopes)
    if pairs:
        chosen = _in_order(scopes)
        levels += tuple(Block(Op.PAIR, scope, variant) for variant in Variant for scope in chosen)
    return ProductSpace("scoped", num_blocks, levels)


def full(
    num_blocks: int,
    ops: Iterable[Op | str] = NON_KEEP,
    scopes: Iterable[Scope | str] = (Scope.ALL, Scope.VISUAL),
    prunings: Iterable[Pruning | str] = PRUNINGS,
    pairs: bool = False,
) -> Space:
    """Every block has an op, tokens and a pruning of its own, what it runs being pruned; with `pairs` also two as one.

    Unstructured sparsity saves none of the FLOPs that a search minimizes: leave it out, or minimize `sparse_flops`.
    """
    unpruned, pruned = scoped(num_blocks, ops, scopes, pairs).choices(0), [as_pruning(each) for each in prunings]
    levels = dict.fromkeys(unpruned)
    for block in unpruned:
        if block.op is not Op.PAIR:
            levels |= dict.fromkeys(block.pruned(part) for each in pruned if (part := block.part_of(each)))
    return ProductSpace("full", num_blocks, tuple(levels)[1:])


SPACES: dict[str, Callable[..., Space]] = {
    "interval": interval,
    "blocks": blocks,
    "layers": layers,
    "scoped": scoped,
    "full": full,
}
ABOUT = {
    "interval": "one op at every k-th block",
    "blocks": "keep or skip, per block",
    "layers": "any op, per block (default)",
    "scoped": "any op for any group of tokens, per block",
    "full": "as scoped, and how the weights of a block are pruned",
}
"""One line per space."""


def load_space(name: str, num_blocks: int, kinds: tuple[BlockKind, ...] = (), **options: Any) -> Space:
    """The space of that name for a model of `num_blocks` blocks.

    Args:
        name: a key of `SPACES`.
        num_blocks: decoder blocks of the model.
        kinds: theirs, where they are not all plain: what a block can't have is left out.
        options: those of the space's function above, such as `ops`: the ops other than `keep` that may be chosen.

    Raises:
        ValueError: an unknown space, option, op or scope, no op to choose, or no block.
    """
    if name not in SPACES:
        raise unknown("space", name, SPACES)
    known = list(signature(SPACES[name]).parameters)[1:]
    for option in options:
        if option not in known:
            raise unknown(f"option of space '{name}'", option, known)
    space = SPACES[name](num_blocks, **options)
    return space.within(kinds) if kinds else space


def _levels(ops: Iterable[Op | str], scopes: Iterable[Scope | str] = (Scope.ALL,)) -> tuple[Block, ...]:
    """Each op with each scope, in the order of `Op` and `Scope`; without `keep`, which every space has."""
    chosen = {as_op(op, " for a space") for op in ops}
    if pair := chosen & {Op.PAIR, Op.PAIRED}:
        raise PlanError(f"a pair takes two blocks and is no op of a block, got {min(pair)}: use scoped with pairs=True")
    return tuple(Block(op, scope) for scope in _in_order(scopes) for op in NON_KEEP if op in chosen)


def as_pruning(value: Pruning | str) -> Pruning:
    """A pruning, or what its text says, with or without braces. Raises PlanError for another text."""
    return value if isinstance(value, Pruning) else pruning_of_text(value.removeprefix("{").removesuffix("}"))


def _in_order(scopes: Iterable[Scope | str]) -> list[Scope]:
    chosen = {as_scope(scope, " for a space") for scope in scopes}
    return [scope for scope in Scope if scope in chosen]
