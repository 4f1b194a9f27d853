"""Draws the adaptive front beside the static one, and the plans that each kind of question gets."""

from pathlib import Path
from typing import Any

import numpy as np

from search.routing.route import Routed

COLORS = {"static": "#555555", "per_kind": "#0072b2", "adaptive": "#d55e00", "cascade": "#009e73"}
"""Front -> colour, from Okabe and Ito's palette."""
LABELS = {
    "static": "one plan for all",
    "per_kind": "a plan per kind",
    "adaptive": "a plan per question",
    "cascade": "cascade of two plans",
}


def draw(routed: Routed, found: dict[str, Any], file: Path) -> None:
    """Draw fronts on the test split on the left, and on the right the shares of plans per kind at 97 % of dense.

    Args:
        routed: the router with what was measured.
        found: its description, as `search.routing.result.describe` returns it.
        file: the picture to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    fronts = {"static": routed.static, "per_kind": routed.per_kind, "adaptive": routed.adaptive}
    if routed.again is not None:
        fronts["cascade"] = routed.cascade
    for name, of in fronts.items():
        points = of("test").take(of("search").front()).points
        left.plot(points[:, 1], points[:, 0], "o-", ms=3, lw=1, color=COLORS[name], label=LABELS[name])
    left.axhline(found["dense"]["test"], ls=":", color="#444444", lw=0.8, label="dense")
    left.set(xlabel="mean FLOPs, of dense", ylabel="accuracy on the test split", ylim=(0.6, 1.01))
    left.legend(loc="lower right", frameon=False)
    _bars(right, next(each for each in found["levels"] if each["share_of_dense"] == 0.97)["adaptive"]["plans"], found)
    figure.savefig(file, dpi=120)


def _bars(axes: Any, plans: dict[str, dict[int, float]], found: dict[str, Any]) -> None:
    from matplotlib import colormaps

    trials, ratios = found["router"]["trials"], found["router"]["ratios"]
    starts = np.zeros(len(plans))
    for rank, (trial, ratio) in enumerate(zip(trials, ratios, strict=True)):
        shares = np.array([each.get(trial, 0.0) for each in plans.values()])
        axes.barh(
            list(plans),
            shares,
            left=starts,
            color=colormaps["viridis"](rank / max(len(trials) - 1, 1)),
            label=f"{ratio:.2f}",
        )
        starts += shares
    axes.set(xlabel="share of the test questions, at 97 % of dense", xlim=(0, 1))
    axes.legend(title="FLOPs, of dense", loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=8, frameon=False,
                columnspacing=0.9, handlelength=1)  # fmt: skip
