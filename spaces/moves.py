"""What all spaces share: the checks at their door and the choice of ops for changed blocks."""

from collections.abc import Sequence

import numpy as np

from spaces.block import SINGLE_OPS, Block, PlanError
from spaces.plan import Plan


def check_definition(name: str, num_blocks: int, levels: Sequence[Block]) -> None:
    """Raises ValueError for a space without blocks or without an op to choose."""
    if num_blocks < 1:
        raise ValueError(f"space '{name}' must have at least one block, got {num_blocks}: give the depth of the model")
    if not levels:
        raise ValueError(
            f"space '{name}' must have an op other than keep, got none: give one of {', '.join(SINGLE_OPS)}"
        )


def check_depth(name: str, num_blocks: int, plan: Plan) -> None:
    """Raises PlanError unless the plan has this many blocks."""
    if len(plan) != num_blocks:
        raise PlanError(
            f"a plan of space '{name}' must have {num_blocks} blocks, got {len(plan)} in '{plan}': "
            "write one character a block"
        )


def pick_levels(levels: Sequence[Block], count: int, rng: np.random.Generator) -> list[Block]:
    """`count` random levels out of a random non-empty subset of `levels`.

    Were every level drawn from all of them, plans with many changed blocks would all cost about the same; plans
    of one or two kinds of levels reach the ends of the range.
    """
    kinds = rng.permutation(len(levels))[: rng.integers(1, len(levels) + 1)]
    return [levels[kinds[k]] for k in rng.integers(len(kinds), size=count)]
