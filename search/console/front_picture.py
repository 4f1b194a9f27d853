"""Draws the front as a picture, and two fronts in one picture."""

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.storage.results import TrialRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRONT = "#d55e00"
"""Colour of the front; from Okabe and Ito's palette, which colour-blind people can distinguish."""
ADAPTIVE = "#0072b2"
DIGEST = "skipsearch:digest"
"""Key of the PNG text that identifies what is drawn."""
STATES = (("stopped", "#999999", "x", "stopped early"), ("complete", "#56b4e9", "o", "finished"))
"""State of a trial, colour, marker and label."""


def draw_front(records: Sequence[TrialRecord], summary: dict[str, Any], file: Path) -> None:
    """Draw accuracy on the search split against the cost: each trial at the highest rung it reached, and the front.

    Args:
        records: all trials of the run.
        summary: the result of `search.analysis.summary.summarize`.
        file: file to write; its suffix determines the format. A PNG that shows the same points already is kept.
    """
    digest = _digest(records, summary)
    if _drawn(file) == digest:
        return
    figure = _figure()
    plot_front(records, summary, figure.subplots())
    figure.savefig(file, dpi=150, metadata={DIGEST: digest} if file.suffix.lower() == ".png" else None)


def plot_front(records: Sequence[TrialRecord], summary: dict[str, Any], axes: Any = None) -> Any:
    """Draw accuracy on the search split against the cost: every trial at the highest rung it reached, and the front.

    Args:
        records: all trials of a run.
        summary: the result of `search.analysis.summary.summarize`.
        axes: matplotlib axes to draw on; by default new ones.

    Returns:
        The axes.
    """
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.subplots(figsize=(7.2, 4.6), layout="constrained")[1]
    for state, color, marker, label in STATES:
        points = _points(records, state)
        if points:
            x, y = zip(*points, strict=True)
            axes.scatter(x, y, s=16, color=color, marker=marker, label=f"{label} ({len(points)})", linewidths=0.8)
    _plot_members(axes, summary["front"])
    _plot_adaptive(axes, summary["routing"])
    for name, style, color in (("dense", ":", "#444444"), ("floor", "--", FRONT)):
        if summary[name]:
            level = summary[name]["accuracy"]
            axes.axhline(level, color=color, linewidth=0.8, linestyle=style, label=f"{name} ({level:.3f})")
    axes.set_xlabel(f"{summary['cost']}, share of the dense model")
    axes.set_ylabel("accuracy on the search split")
    axes.set_title(f"{summary['run']}: hypervolume {summary['hypervolume_above_floor']:.3f}", loc="left", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="best")
    return axes


def _points(records: Sequence[TrialRecord], state: str) -> list[tuple[float, float]]:
    """Return cost ratio and accuracy at the highest rung of the trials in one state."""
    rungs = [r.on("search")[-1] for r in records if r.trial.state == state and r.on("search")]
    return [(rung.flops_ratio, rung.accuracy) for rung in rungs]


def _digest(records: Sequence[TrialRecord], summary: dict[str, Any]) -> str:
    """Return a digest of everything that `plot_front` draws, and of the version that draws it."""
    points = [_points(records, state) for state, *_ in STATES]
    names = ("run", "cost", "hypervolume_above_floor", "front", "dense", "floor", "routing")
    drawn = json.dumps([version("skipsearch"), points, *(summary[name] for name in names)], default=str)
    return hashlib.sha256(drawn.encode()).hexdigest()


def _drawn(file: Path) -> str | None:
    """Return the digest in a picture; None if there is no such picture. Matplotlib is slower to import than to ask."""
    from PIL import Image

    try:
        with Image.open(file) as picture:
            return picture.info.get(DIGEST)
    except OSError:
        return None


def _plot_members(axes: Any, front: Sequence[dict[str, Any]]) -> None:
    x, y = [trial["cost_ratio"] for trial in front], [trial["accuracy"] for trial in front]
    axes.step(x, y, where="post", color=FRONT, linewidth=1.4)
    axes.scatter(x, y, s=30, color=FRONT, label=f"Pareto front ({len(front)})", zorder=3)
    tested = [trial for trial in front if trial["test"]]
    if tested:
        x, y = [trial["cost_ratio"] for trial in tested], [trial["test"]["accuracy"] for trial in tested]
        axes.scatter(x, y, s=34, marker="_", color="black", label="front on test", zorder=4)


def _plot_adaptive(axes: Any, routing: dict[str, Any] | None) -> None:
    """Draw the points of the router, if one was trained and is used."""
    points = [point["search"] for point in routing["adaptive"] if "price" in point] if routing else []
    if points:
        x, y = [point["flops_ratio"] for point in points], [point["accuracy"] for point in points]
        axes.plot(x, y, "^-", color=ADAPTIVE, markersize=3.5, linewidth=0.8, label=f"a plan per question ({len(x)})")


def draw_two_fronts(summaries: Sequence[dict[str, Any]], names: Sequence[str], file: Path) -> None:
    """Draw the fronts of two runs on the search split into one picture.

    Args:
        summaries: per run, the result of `search.analysis.summary.summarize`.
        names: names of the runs, for the legend.
        file: file to write; its suffix determines the format.
    """
    figure = _figure()
    axes = figure.subplots()
    looks = (("#0072b2", "o", "-"), ("#d55e00", "s", "--"))
    for summary, name, (color, marker, line) in zip(summaries, names, looks, strict=True):
        x = [trial["cost_ratio"] for trial in summary["front"]]
        y = [trial["accuracy"] for trial in summary["front"]]
        label = f"{name} (hypervolume {summary['hypervolume_above_floor']:.3f})"
        axes.step(x, y, where="post", color=color, linestyle=line, linewidth=1.3)
        axes.scatter(x, y, s=26, color=color, marker=marker, label=label, zorder=3)
    axes.set_xlabel(f"{summaries[0]['cost']}, share of the dense model")
    axes.set_ylabel("accuracy on the search split")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(file, dpi=150)


def _figure() -> "Figure":
    """Return a figure to write to a file; pyplot, which also shows figures, takes as long to import as a report."""
    from matplotlib.figure import Figure

    return Figure(figsize=(7.2, 4.6), layout="constrained")
