"""A plan drawn as one character per block."""

from spaces.plan import Op, Plan

#: The upper half of a cell is attention, the lower half the FFN; in every monospaced font, unlike colored squares.
_CELLS = {
    Op.KEEP: "█",
    Op.SKIP_ATTN: "▄",
    Op.SKIP_CROSS: "▄",
    Op.SKIP_FFN: "▀",
    Op.SKIP_BLOCK: "░",
    Op.PARALLEL: "▓",
    Op.PAIR: "▐",
    Op.PAIRED: "▌",
}

LEGEND = "`█` whole block, `▀` attention only, `▄` FFN only, `░` skipped, `▓` both in parallel, `▐▌` a pair"


def plan_picture(plan: Plan) -> str:
    """One cell a block, from the first to the last, with the scope's mark where it is not for all tokens, and how its
    weights are pruned."""
    return "".join(_CELLS[block.op] + block.scope.mark + block.pruning_mark for block in plan.blocks)
