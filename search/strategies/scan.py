"""The sensitivity scan: plans that change one block."""

from collections.abc import Callable

import numpy as np

from search.strategies.plan_bits import Coding
from spaces.plan import Block, Op, Plan
from spaces.spaces import Space

_CHEAPEST_FIRST = (Op.SKIP_BLOCK, Op.KEEP, Op.SKIP_FFN, Op.SKIP_ATTN, Op.SKIP_CROSS, Op.PARALLEL)
"""Order of the scan: ops that save most come first, since a small budget ends early. KEEP stands for pruned blocks."""


def scan(space: Space, limit: int) -> list[Plan]:
    """Return at most `limit` plans of the space that change one block.

    The plans are sorted by op, whole blocks first. If `limit` is reached within an op, blocks spread evenly over the
    depth are taken. A block is either pruned or has another op, never both.
    """
    dense = Plan.dense(space.num_blocks)
    singles = [plan for plan in space.neighbors(dense) if plan.num_changed == 1]
    found: list[Plan] = []
    for op in _CHEAPEST_FIRST:
        own = [plan for plan in singles if _is_scanned(changed(plan)[1], op)]
        room = max(0, limit - len(found))
        if len(own) > room:
            own = [own[pick] for pick in np.unique(np.linspace(0, len(own) - 1, room).round().astype(int))]
        found += own
    return found


def independent_singles(space: Space, coding: Coding, wanted: Callable[[Plan], bool]) -> list[Plan]:
    """Return the fewest plans with one changed block that determine the effect of every bit.

    A level is left out if its bits are a linear combination of the bits of milder levels of its block, as those of a
    skipped block are of its skipped attention and its skipped FFN.

    Args:
        space: the space to search.
        coding: the bits of its plans.
        wanted: returns False for plans that must not be scanned.
    """
    singles = [plan for plan in space.neighbors(Plan.dense(space.num_blocks)) if plan.num_changed == 1 and wanted(plan)]
    codes = coding.encode(singles)
    found = []
    for block, table in enumerate(coding.bits_of):
        own = {int(codes[row, block]): singles[row] for row in np.flatnonzero(codes[:, block])}
        picked: list[int] = []
        for place in sorted(own, key=lambda place: table[place].sum()):
            if np.linalg.matrix_rank(table[[*picked, place]]) > len(picked):
                picked.append(place)
        found += [own[place] for place in picked]
    return found


def changed(plan: Plan) -> tuple[int, Block]:
    """Return the index and the level of the first changed block of a plan."""
    return next((index, block) for index, block in enumerate(plan.blocks) if not block.is_kept)


def _is_scanned(block: Block, op: Op) -> bool:
    return block.op is op and (op is Op.KEEP or block.pruning is None)


def change(plan: Plan) -> str:
    """Return the first change as text, for the origin of a proposal."""
    index, block = changed(plan)
    return f"{block.name} {index}"
