"""What a search space must offer, and the spaces by name."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np

from spaces.block import Op, as_op
from spaces.interval import IntervalSpace
from spaces.names import unknown
from spaces.plan import Plan
from spaces.product import ProductSpace

NON_KEEP = tuple(op for op in Op if op is not Op.KEEP)


class Space(Protocol):
    """A finite set of plans of one depth that holds the dense plan and at least one other."""

    @property
    def name(self) -> str: ...

    @property
    def num_blocks(self) -> int: ...

    @property
    def size(self) -> int:
        """The number of distinct plans, exactly."""
        ...

    def choices(self, index: int) -> tuple[Op, ...]:
        """Every op that block `index` has in some plan of the space; `keep` first."""
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
    return ProductSpace("blocks", num_blocks, _named(ops))


def layers(num_blocks: int, ops: Iterable[Op | str] = NON_KEEP) -> Space:
    """Every block is kept, or changed by an op of its own."""
    return ProductSpace("layers", num_blocks, _named(ops))


def interval(num_blocks: int, ops: Iterable[Op | str] = NON_KEEP) -> Space:
    """One op at every k-th block of a range of blocks (arXiv 2410.09454)."""
    return IntervalSpace("interval", num_blocks, _named(ops))


SPACES: dict[str, Callable[..., Space]] = {"interval": interval, "blocks": blocks, "layers": layers}


def load_space(name: str, num_blocks: int, *, ops: Iterable[Op | str] | None = None) -> Space:
    """The space of that name for a model of `num_blocks` blocks.

    Args:
        name: a key of `SPACES`.
        num_blocks: decoder blocks of the model.
        ops: the ops other than `keep` that may be chosen; None: those of the space.

    Raises:
        ValueError: an unknown space or op, no op to choose, or no block.
    """
    if name not in SPACES:
        raise unknown("space", name, SPACES)
    return SPACES[name](num_blocks) if ops is None else SPACES[name](num_blocks, ops)


def _named(ops: Iterable[Op | str]) -> tuple[Op, ...]:
    """The ops in the order of `Op`, each once, without `keep`, which every space has."""
    chosen = {as_op(op, " for a space") for op in ops}
    return tuple(op for op in NON_KEEP if op in chosen)
