"""Draws a plan as one character per block."""

from spaces.plan import Op, Plan

# The upper part of a cell is attention, the lower part the FFN. All monospaced fonts have these characters.
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
"""Meaning of the characters, in Markdown."""


def plan_picture(plan: Plan) -> str:
    """Return one cell per block, first block first.

    The mark of a scope other than `all` and the pruning follow the cell.
    """
    return "".join(_CELLS[block.op] + block.scope.mark + block.pruning_mark for block in plan.blocks)
