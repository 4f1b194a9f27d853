"""One pruning for a whole plan: how it is told from, and spread over, the blocks."""

from collections.abc import Sequence

from spaces.block import Block, PlanError
from spaces.pruning import Pruning
from spaces.pruning_forms import text_of_pruning


def gathered(blocks: Sequence[Block]) -> Pruning | None:
    """The pruning that says of every block how it is pruned, so that it can be written once for the whole plan."""
    for pruning in dict.fromkeys(block.pruning for block in blocks):
        if pruning is not None and all(block.pruning == block.part_of(pruning) for block in blocks):
            return pruning
    return None


def spread(pruning: Pruning, blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The blocks, each pruned as far as it runs what is pruned.

    Raises PlanError where a block is pruned already, and where no block runs what is pruned.
    """
    if any(block.pruning is not None for block in blocks):
        raise PlanError("a pruning must be given for the whole plan or for single blocks, got both: remove one")
    pruned = tuple(block.pruned(block.part_of(pruning)) for block in blocks)
    if pruned == tuple(blocks):
        raise PlanError(
            f"a pruning must concern a block, got {{{text_of_pruning(pruning)}}} where none runs it: remove it"
        )
    return pruned
