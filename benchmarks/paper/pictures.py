"""The pictures of docs/paper.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

COLORS = ("#444444", "#5b8def", "#d1495b", "#2a9d8f", "#e9a23b", "#8e6bbf")


def draw_untrained(found: dict[str, Any], accuracies: np.ndarray, file: Path) -> None:
    """Draw accuracy against FLOPs, one color per op.

    Args:
        found: names and costs of the patterns.
        accuracies: (patterns,).
        file: picture to write.
    """
    figure, axes = _axes("FLOPs, share of the dense model", "accuracy on the test split")
    groups = ("skip_block", "skip_attn", "skip_ffn", "parallel", "first-")
    for color, group in zip(COLORS[1:], groups, strict=True):
        for marker, scoped in (("o", False), ("x", True)):
            rows = [
                row
                for row, name in enumerate(found["names"])
                if (name.startswith(group) if group == "first-" else group in name and not name.startswith("first-"))
                and any(scope in name for scope in ("visual", "generated")) == scoped
            ]
            label = group.rstrip("-") + (" (some tokens)" if scoped else "")
            if rows:
                axes.scatter(found["costs"][rows], accuracies[rows], s=22, marker=marker, color=color, label=label)
    axes.axhline(accuracies[0], color=COLORS[0], linewidth=0.8, linestyle=":", label="dense")
    _save(figure, axes, file)


def draw_trained(runs: Sequence[dict[str, Any]], file: Path) -> None:
    """Draw accuracy on `search` against training steps, the mean over seeds per plan."""
    figure, axes = _axes("training steps with the plan active", "accuracy on the search split")
    for number, name in enumerate(dict.fromkeys(run["name"] for run in runs)):
        own = [run for run in runs if run["name"] == name]
        curves = np.array([run["curve"] for run in own])
        label = f"{name} ({own[0]['cost']:.2f})"
        axes.plot(curves[0, :, 0], curves[:, :, 1].mean(0), color=COLORS[number % len(COLORS)],
                  linestyle=("-", "--", ":")[number // len(COLORS) % 3], linewidth=1.4, label=label)  # fmt: skip
    _save(figure, axes, file)


def _axes(x: str, y: str) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.2, 4.6), layout="constrained")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25)
    return figure, axes


def _save(figure: Any, axes: Any, file: Path) -> None:
    axes.legend(frameon=False, fontsize=7, loc="best")
    figure.savefig(file, dpi=130)
