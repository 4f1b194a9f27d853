"""A trial's note in Optuna Dashboard: its plan as a picture one can read, and why it ended as it did."""

from objectives.flops import Costs
from search.strategies.strategy import Observation
from spaces.plan import Op, Plan

#: The upper half of a cell is attention, the lower half the FFN; in every monospaced font, unlike colored squares.
_CELLS = {Op.KEEP: "█", Op.SKIP_ATTN: "▄", Op.SKIP_FFN: "▀", Op.SKIP_BLOCK: "░", Op.PARALLEL: "▓"}
LEGEND = "`█` whole block, `▀` attention only, `▄` FFN only, `░` skipped, `▓` both in parallel"


def plan_picture(plan: Plan) -> str:
    """One cell a block, from the first to the last."""
    return "".join(_CELLS[op] for op in plan.ops)


def trial_note(observation: Observation, reason: str | None, costs: Costs) -> str:
    """Markdown note of a trial."""
    rungs = " → ".join(f"{accuracy:.3f}" for accuracy in observation.accuracies) or "none"
    lines = [
        f"`{observation.plan}` — {observation.origin}",
        f"`{plan_picture(observation.plan)}`",
        LEGEND,
        f"**{observation.state}**" + (f": {reason}" if reason else ""),
        f"accuracy per rung: {rungs}",
        f"{costs.flops / 1e9:.4g} GFLOPs, {costs.flops_ratio:.1%} of dense; depth {costs.depth} sub-layers",
    ]
    return "\n\n".join(lines)
