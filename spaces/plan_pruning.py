"""Finds the pruning common to all blocks of a plan, and applies one to all blocks."""

from collections.abc import Sequence

from spaces.block import Block, PlanError
from spaces.pruning import Pruning
from spaces.pruning_forms import text_of_pruning


def gathered(blocks: Sequence[Block]) -> Pruning | None:
    """Return the pruning of which each block has the part that concerns it; None if there is none."""
    for pruning in dict.fromkeys(block.pruning for block in blocks):
        if pruning is not None and all(block.pruning == block.part_of(pruning) for block in blocks):
            return pruning
    return None


def spread(pruning: Pruning, blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Return the blocks, each with the part of the pruning that concerns the sub-layers it runs.

    Raises:
        PlanError: a block is pruned already, or no block runs a pruned sub-layer.
    """
    if any(block.pruning is not None for block in blocks):
        raise PlanError("a pruning must be given for the whole plan or for single blocks, got both: remove one")
    pruned = tuple(block.pruned(block.part_of(pruning)) for block in blocks)
    if pruned == tuple(blocks):
        raise PlanError(
            f"a pruning must concern a block, got {{{text_of_pruning(pruning)}}} where none runs it: remove it"
        )
    return pruned
