"""Checks the arguments of spaces, and draws the levels of changed blocks."""

from collections.abc import Sequence

import numpy as np

from spaces.block import SINGLE_OPS, Block, PlanError
from spaces.plan import Plan


def check_definition(name: str, num_blocks: int, levels: Sequence[Block]) -> None:
    """Check the definition of a space.

    Args:
        name: name of the space.
        num_blocks: number of decoder blocks of the model.
        levels: levels of a block other than keep.

    Raises:
        ValueError: it has no block, or no level other than keep.
    """
    if num_blocks < 1:
        raise ValueError(f"space '{name}' must have at least one block, got {num_blocks}: give the depth of the model")
    if not levels:
        raise ValueError(
            f"space '{name}' must have an op other than keep, got none: give one of {', '.join(SINGLE_OPS)}"
        )


def check_depth(name: str, num_blocks: int, plan: Plan) -> None:
    """Check that a plan has `num_blocks` blocks.

    Args:
        name: name of the space, for the message.
        num_blocks: number of decoder blocks of the model.
        plan: the plan to check.

    Raises:
        PlanError: it has another number of blocks.
    """
    if len(plan) != num_blocks:
        raise PlanError(
            f"a plan of space '{name}' must have {num_blocks} blocks, got {len(plan)} in '{plan}': "
            "write one character per block"
        )


def pick_levels(levels: Sequence[Block], count: int, rng: np.random.Generator) -> list[Block]:
    """Return `count` levels drawn at random from a random non-empty subset of `levels`.

    If each level were drawn from all of them, plans with many changed blocks would all have about the same cost. Plans
    with only one or two different levels reach the ends of the range.

    Args:
        levels: levels to choose from.
        count: number of levels to draw.
        rng: source of the draws.
    """
    kinds = rng.permutation(len(levels))[: rng.integers(1, len(levels) + 1)]
    return [levels[kinds[k]] for k in rng.integers(len(kinds), size=count)]
