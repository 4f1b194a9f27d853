"""One pruning for a whole plan: derived from its blocks, and applied to them."""

from collections.abc import Sequence

from spaces.block import Block, PlanError
from spaces.pruning import Pruning
from spaces.pruning_forms import text_of_pruning


def gathered(blocks: Sequence[Block]) -> Pruning | None:
    """Return the pruning that describes every block of the plan, so that it can be written once, or None."""
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
