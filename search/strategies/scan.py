"""The sensitivity scan: plans that change one block."""

import numpy as np

from spaces.plan import Op, Plan
from spaces.spaces import Space

#: The ops that save most come first: with a small budget the scan ends after them.
_CHEAPEST_FIRST = (Op.SKIP_BLOCK, Op.SKIP_FFN, Op.SKIP_ATTN, Op.PARALLEL, Op.KEEP)


def scan(space: Space, limit: int) -> list[Plan]:
    """Every plan of the space with one changed block, whole blocks first; a spread of them where there are more than
    `limit`."""
    dense = Plan.dense(space.num_blocks)
    singles = [plan for plan in space.neighbors(dense) if plan.num_changed == 1]
    singles.sort(key=lambda plan: _CHEAPEST_FIRST.index(changed(plan)[1]))
    if len(singles) <= limit:
        return singles
    picks = np.linspace(0, len(singles) - 1, max(limit, 0)).round().astype(int)
    return [singles[pick] for pick in np.unique(picks)]


def changed(plan: Plan) -> tuple[int, Op]:
    """The first changed block of a plan and its op."""
    return next((index, op) for index, op in enumerate(plan.ops) if op is not Op.KEEP)


def change(plan: Plan) -> str:
    """The first change as text, for the origin of a proposal."""
    index, op = changed(plan)
    return f"{op} {index}"
