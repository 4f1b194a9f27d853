"""Draws stored results: fronts with the plans of each kind of question, and fronts by length of the chain."""

from pathlib import Path
from typing import Any

import numpy as np

COLORS = {
    "static": "#555555", "per_kind": "#0072b2", "adaptive": "#d55e00", "cascade": "#009e73",
    "routed_cascade": "#cc79a7",
}  # fmt: skip
"""Front -> colour, from Okabe and Ito's palette."""
LABELS = {
    "static": "one plan for all",
    "per_kind": "a plan per kind",
    "adaptive": "a plan per question",
    "cascade": "cascade of two plans",
    "routed_cascade": "router, then cascade",
}


def draw(found: dict[str, Any], file: Path) -> None:
    """Draw fronts on the test split on the left, and on the right the shares of plans per kind at 97 % of dense.

    Args:
        found: a stored result.
        file: the picture to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    _plot(left, found["fronts"], found["dense"]["test"])
    left.set(ylabel="accuracy on the test split", ylim=(0.6, 1.01))
    left.legend(loc="lower right", frameon=False)
    _bars(right, next(iter(found["routers"].values())))
    figure.savefig(file, dpi=120)


def draw_lengths(found: dict[str, Any], file: Path) -> None:
    """Draw the static and the adaptive front on the test split for every length of the chain.

    Args:
        found: a stored result of the questions of several steps.
        file: the picture to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2), layout="constrained")
    panels = figure.subplots(1, len(found["lengths"]), sharex=True, sharey=True)
    for axes, (length, each) in zip(panels, found["lengths"].items(), strict=True):
        _plot(axes, {name: each["fronts"][name] for name in ("static", "adaptive")}, each["dense"]["test"])
        axes.set(title=f"{length} steps")
    panels[0].set(ylabel="accuracy on the test split")
    panels[0].legend(loc="lower right", frameon=False)
    figure.savefig(file, dpi=120)


def _plot(axes: Any, fronts: dict[str, Any], dense: float) -> None:
    for name, points in fronts.items():
        flops, accuracies = np.array(points).T
        axes.plot(flops, accuracies, "o-", ms=3, lw=1, color=COLORS[name], label=LABELS[name])
    axes.axhline(dense, ls=":", color="#444444", lw=0.8, label="dense")
    axes.set(xlabel="mean FLOPs, of dense")


def _bars(axes: Any, found: dict[str, Any]) -> None:
    from matplotlib import colormaps

    plans, router = found["level"]["adaptive"]["plans"], found["router"]
    starts = np.zeros(len(plans))
    for rank, (trial, ratio) in enumerate(zip(router["trials"], router["ratios"], strict=True)):
        shares = np.array([each.get(str(trial), 0.0) for each in plans.values()])
        color = colormaps["viridis"](rank / max(len(router["trials"]) - 1, 1))
        axes.barh(list(plans), shares, left=starts, color=color, label=f"{ratio:.2f}")
        starts += shares
    axes.set(xlabel="share of the test questions, at 97 % of dense", xlim=(0, 1))
    axes.legend(title="FLOPs, of dense", loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=8, frameon=False,
                columnspacing=0.9, handlelength=1)  # fmt: skip
