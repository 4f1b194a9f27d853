"""The note of a trial in Optuna Dashboard: its plan as a picture, its costs, and why it ended."""

from objectives.flops import Costs
from search.strategies.strategy import Observation
from spaces.plan_picture import LEGEND, plan_picture


def trial_note(observation: Observation, reason: str | None, costs: Costs) -> str:
    """Return the note of a trial in Markdown.

    Args:
        observation: the trial.
        reason: why it was stopped or failed; None for a complete trial.
        costs: costs of its plan.
    """
    rungs = " → ".join(f"{accuracy:.3f}" for accuracy in observation.accuracies) or "none"
    lines = [
        f"`{observation.plan}` — {observation.origin}",
        f"`{plan_picture(observation.plan)}`",
        LEGEND,
        f"**{observation.state}**" + (f": {reason}" if reason else ""),
        f"accuracy per rung: {rungs}",
        f"{costs.flops / 1e9:.4g} GFLOPs, {costs.flops_ratio:.1%} of dense; depth {costs.depth} sub-layers",
    ]
    if costs.sparse_flops < costs.flops:
        lines.append(f"{costs.sparse_flops / 1e9:.4g} GFLOPs with kernels that skip zero weights")
    return "\n\n".join(lines)
