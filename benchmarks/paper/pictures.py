"""The pictures of docs/paper.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

MARKERS = {"": "o", "visual": "x", "generated": "+"}
COLORS = ("#444444", "#5b8def", "#d1495b", "#2a9d8f", "#e9a23b", "#8e6bbf")


def draw_untrained(found: dict[str, Any], accuracies: np.ndarray, file: Path) -> None:
    """Draw accuracy against FLOPs, one color per op.

    Args:
        found: names and costs of the patterns.
        accuracies: (patterns,).
        file: picture to write.
    """
    figure, axes = _axes("FLOPs, share of the dense model", "accuracy on the test split")
    groups = [_group(str(name)) for name in found["names"]]
    kinds = list(dict.fromkeys(kind for kind, _ in groups[1:]))
    for kind, scope in dict.fromkeys(groups[1:]):
        rows = [row for row, own in enumerate(groups) if own == (kind, scope) and row]
        label = f"{kind} ({scope})" if scope else kind
        color = COLORS[1 + kinds.index(kind) % (len(COLORS) - 1)]
        axes.scatter(found["costs"][rows], accuracies[rows], s=22, marker=MARKERS[scope], color=color, label=label)
    axes.axhline(accuracies[0], color=COLORS[0], linewidth=0.8, linestyle=":", label="dense")
    _save(figure, axes, file)


def _group(name: str) -> tuple[str, str]:
    """Return the op of a pattern, or the kind of plan, and its scope."""
    scope = next((scope for scope in ("visual", "generated") if scope in name), "")
    if name.startswith(("first-", "additive")):
        return ("additive costs" if name.startswith("additive") else "first blocks"), scope
    return next((op for op in ("skip_attn", "skip_ffn", "parallel") if op in name), "skip_block"), scope


def draw_trained(runs: Sequence[dict[str, Any]], file: Path, floor: float | None = None) -> None:
    """Draw accuracy on `search` against training steps, the mean over seeds per plan.

    Args:
        runs: the stored runs.
        file: picture to write.
        floor: accuracy of the most common answer to the text of the question; None if unknown.
    """
    figure, axes = _axes("training steps with the plan active", "accuracy on the search split")
    for number, name in enumerate(dict.fromkeys(run["name"] for run in runs)):
        own = [run for run in runs if run["name"] == name]
        curves = np.array([run["curve"] for run in own])
        label = f"{name} ({own[0]['cost']:.2f})"
        axes.plot(curves[0, :, 0], curves[:, :, 1].mean(0), color=COLORS[number % len(COLORS)],
                  linestyle=("-", "--", ":")[number // len(COLORS) % 3], linewidth=1.4, label=label)  # fmt: skip
    if floor is not None:
        axes.axhline(floor, color=COLORS[0], linewidth=0.8, linestyle=":", label="most common answer by text")
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
