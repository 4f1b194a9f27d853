"""A trial's note in Optuna Dashboard: its plan as a picture one can read, and why it ended as it did."""

from objectives.flops import Costs
from search.strategies.strategy import Observation
from spaces.plan import Op, Plan

_SQUARES = {
    Op.KEEP: "🟩",
    Op.SKIP_ATTN: "🟦",
    Op.SKIP_FFN: "🟨",
    Op.SKIP_BLOCK: "⬛",
    Op.PARALLEL: "🟪",
    Op.PAIR: "🟧",
    Op.PAIRED: "🟧",
}
LEGEND = " ".join(f"{square} {op.replace('_', ' ')}" for op, square in _SQUARES.items() if op is not Op.PAIRED)


def plan_picture(plan: Plan) -> str:
    """One colored square a block, from the first to the last, with the scope's mark where it is not for all tokens."""
    return "".join(_SQUARES[block.op] + block.scope.mark for block in plan.blocks)


def trial_note(observation: Observation, reason: str | None, costs: Costs) -> str:
    """Markdown note of a trial."""
    rungs = " → ".join(f"{accuracy:.3f}" for accuracy in observation.accuracies) or "none"
    lines = [
        f"`{observation.plan}` — {observation.origin}",
        plan_picture(observation.plan),
        LEGEND,
        f"**{observation.state}**" + (f": {reason}" if reason else ""),
        f"accuracy per rung: {rungs}",
        f"{costs.flops / 1e9:.4g} GFLOPs, {costs.flops_ratio:.1%} of dense; depth {costs.depth} sub-layers",
    ]
    return "\n\n".join(lines)
