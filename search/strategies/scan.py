"""The sensitivity scan: plans that change one block."""

from collections.abc import Callable

import numpy as np

from search.strategies.plan_bits import Coding
from spaces.plan import Block, Op, Plan
from spaces.spaces import Space

#: The ops that save most come first: with a small budget the scan ends after them. A kept block may be pruned.
_CHEAPEST_FIRST = (Op.SKIP_BLOCK, Op.KEEP, Op.SKIP_FFN, Op.SKIP_ATTN, Op.SKIP_CROSS, Op.PARALLEL)


def scan(space: Space, limit: int) -> list[Plan]:
    """Plans of the space with one changed block, at most `limit`: op after op, whole blocks first; of the op that does
    not fit as a whole, some, spread over the depth. Blocks are pruned only where they are kept otherwise."""
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
    """Plans with one changed block, as few as say what every bit costs: a level is left out where its bits follow from
    those of milder levels of its block, as a whole block's do from its attention's and its FFN's."""
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
    """Return the first changed block of a plan and what is done to it."""
    return next((index, block) for index, block in enumerate(plan.blocks) if not block.is_kept)


def _is_scanned(block: Block, op: Op) -> bool:
    return block.op is op and (op is Op.KEEP or block.pruning is None)


def change(plan: Plan) -> str:
    """Return the first change as text, for the origin of a proposal."""
    index, block = changed(plan)
    return f"{block.name} {index}"
