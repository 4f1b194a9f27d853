"""Defines the interface of a search space, and the spaces by name."""

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
"""Default prunings of a block in the space `full` (`spaces.pruning_forms`)."""
NON_KEEP = tuple(op for op in SINGLE_OPS if op is not Op.KEEP)
"""Ops of a single self-attention block other than keep."""


class Space(Protocol):
    """A finite set of plans of one depth that contains the dense plan and at least one other."""

    @property
    def name(self) -> str: ...

    @property
    def num_blocks(self) -> int: ...

    @property
    def kinds(self) -> tuple[BlockKind, ...]:
        """Return the kinds of the model's blocks, which limit the ops of the space; empty if all are plain."""
        ...

    @property
    def size(self) -> int:
        """Return the exact number of distinct plans."""
        ...

    def within(self, kinds: tuple[BlockKind, ...]) -> "Space":
        """Return the part of the space that a model with blocks of these kinds can have."""
        ...

    def choices(self, index: int) -> tuple[Block, ...]:
        """Return the levels that block `index` has in any plan of the space, `keep` first.

        The second block of a pair has no level; `spaces.product.choices_of` gives `keep` for it.
        """
        ...

    def check(self, plan: Plan) -> None:
        """Check that a plan is in the space.

        Raises:
            PlanError: it is not; the message gives the reason.
        """
        ...

    def __contains__(self, plan: object) -> bool: ...

    def enumerate(self) -> Iterator[Plan]:
        """Yield all plans, each once, always in the same order, the dense plan first."""
        ...

    def sample(self, rng: np.random.Generator) -> Plan:
        """Return a random plan; the number of changed blocks is uniform, to cover the whole range of FLOPs."""
        ...

    def neighbors(self, plan: Plan) -> Iterator[Plan]:
        """Yield all plans of the space that are one elementary step away, each once."""
        ...

    def mutate(self, plan: Plan, rng: np.random.Generator) -> Plan:
        """Return a random plan of the space near `plan` and different from it."""
        ...

    def crossover(self, first: Plan, second: Plan, rng: np.random.Generator) -> Plan:
        """Return a random plan of the space that combines both parents; it may equal one of them."""
        ...


def blocks(num_blocks: int, ops: Iterable[Op | str] = (Op.SKIP_BLOCK,)) -> Space:
    """Return the space in which each block is kept or has one of `ops`, by default skip_block."""
    return ProductSpace("blocks", num_blocks, _levels(ops))


def layers(num_blocks: int, ops: Iterable[Op | str] = NON_KEEP) -> Space:
    """Return the space in which each block is kept or has one of `ops`, by default all of a single block."""
    return ProductSpace("layers", num_blocks, _levels(ops))


def interval(
    num_blocks: int, ops: Iterable[Op | str] = NON_KEEP, scopes: Iterable[Scope | str] = (Scope.ALL,)
) -> Space:
    """Return the space with one op at every k-th block of a range of blocks (arXiv 2410.09454).

    Args:
        num_blocks: number of decoder blocks of the model.
        ops: ops to choose from; keep is always included.
        scopes: scopes to choose from.
    """
    return IntervalSpace("interval", num_blocks, _levels(ops, scopes))


def scoped(
    num_blocks: int,
    ops: Iterable[Op | str] = NON_KEEP,
    scopes: Iterable[Scope | str] = tuple(Scope),
    pairs: bool = False,
) -> Space:
    """Return the space in which each block is kept or has its own op and scope.

    Args:
        num_blocks: number of decoder blocks of the model.
        ops: ops to choose from; keep is always included.
        scopes: scopes to choose from.
        pairs: True to offer pairs of adjacent blocks as well.

    Raises:
        PlanError: an op or scope is unknown, or `ops` has a pair.
    """
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
    """Return the space in which each block has its own op, scope and pruning of the sub-layers that it runs.

    Sparsity does not reduce the objective `flops`: leave it out, or minimize `sparse_flops`.

    Args:
        num_blocks: number of decoder blocks of the model.
        ops: ops to choose from; keep is always included.
        scopes: scopes to choose from.
        prunings: prunings to choose from, or their texts; no pruning is always included.
        pairs: True to offer pairs of adjacent blocks as well, unpruned.

    Raises:
        PlanError: an op, scope or pruning is unknown, or `ops` has a pair.
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
"""Name -> function that returns the space for a number of blocks."""
ABOUT = {
    "interval": "one op at every k-th block",
    "blocks": "keep or skip, per block",
    "layers": "any op, per block (default)",
    "scoped": "any op for any group of tokens, per block",
    "full": "as scoped, and how the weights of a block are pruned",
}
"""One line per space."""


def load_space(name: str, num_blocks: int, kinds: tuple[BlockKind, ...] = (), **options: Any) -> Space:
    """Return the space called `name` for a model of `num_blocks` blocks.

    Args:
        name: a key of `SPACES`.
        num_blocks: number of decoder blocks of the model.
        kinds: kind of each block, which limits its ops; empty if all are plain.
        **options: keyword arguments of the function in `SPACES`, such as `ops`.

    Raises:
        ValueError: the space, an option, an op or a scope is unknown, or there is no op or no block.
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
    """Return each op with each scope, in the order of `Op` and `Scope`, without `keep`, which all spaces have."""
    chosen = {as_op(op, " for a space") for op in ops}
    if pair := chosen & {Op.PAIR, Op.PAIRED}:
        raise PlanError(f"a pair takes two blocks and is no op of a block, got {min(pair)}: use scoped with pairs=True")
    return tuple(Block(op, scope) for scope in _in_order(scopes) for op in NON_KEEP if op in chosen)


def as_pruning(value: Pruning | str) -> Pruning:
    """Return a pruning, or the pruning of a text with or without braces.

    Raises:
        PlanError: the text is not a pruning.
    """
    return value if isinstance(value, Pruning) else pruning_of_text(value.removeprefix("{").removesuffix("}"))


def _in_order(scopes: Iterable[Scope | str]) -> list[Scope]:
    chosen = {as_scope(scope, " for a space") for scope in scopes}
    return [scope for scope in Scope if scope in chosen]
