"""What all spaces share: the checks at their door and the choice of ops for changed blocks."""

import numpy as np

from spaces.block import Op, PlanError
from spaces.plan import Plan


def check_definition(name: str, num_blocks: int, ops: tuple[Op, ...]) -> None:
    """Raises ValueError for a space without blocks or without an op to choose."""
    if num_blocks < 1:
        raise ValueError(f"space '{name}' must have at least one block, got {num_blocks}: give the depth of the model")
    if not ops:
        raise ValueError(f"space '{name}' must have an op other than keep, got none: give one of {', '.join(Op)}")


def check_depth(name: str, num_blocks: int, plan: Plan) -> None:
    """Raises PlanError unless the plan has this many blocks."""
    if len(plan) != num_blocks:
        raise PlanError(
            f"a plan of space '{name}' must have {num_blocks} blocks, got {len(plan)} in '{plan}': "
            "write one character a block"
        )


def pick_ops(ops: tuple[Op, ...], count: int, rng: np.random.Generator) -> list[Op]:
    """`count` random ops out of a random non-empty subset of `ops`.

    Were every op drawn from all of them, plans with many changed blocks would all cost about the same; plans
    of one or two kinds of ops reach the ends of the range.
    """
    kinds = rng.permutation(len(ops))[: rng.integers(1, len(ops) + 1)]
    return [ops[kinds[k]] for k in rng.integers(len(kinds), size=count)]
