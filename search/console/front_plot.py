"""The front as a picture, and two of them on one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.storage.results import TrialRecord


def draw_front(records: list[TrialRecord], summary: dict[str, Any], file: Path) -> None:
    """Accuracy against FLOPs on the search split: every trial at the highest rung it reached, and the front."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.2, 4.6), layout="constrained")
    for state, color, label in (("stopped", "#b8bec9", "stopped early"), ("complete", "#5b8def", "finished")):
        rungs = [r.on("search")[-1] for r in records if r.trial.state == state and r.on("search")]
        if rungs:
            x, y = [rung.flops_ratio for rung in rungs], [rung.accuracy for rung in rungs]
            axes.scatter(x, y, s=14, color=color, label=f"{label} ({len(rungs)})", linewidths=0)
    front = summary["front"]
    x, y = [trial["flops_ratio"] for trial in front], [trial["accuracy"] for trial in front]
    axes.step(x, y, where="post", color="#d1495b", linewidth=1.4)
    axes.scatter(x, y, s=30, color="#d1495b", label=f"Pareto front ({len(front)})", zorder=3)
    tested = [trial for trial in front if trial["test"]]
    if tested:
        x, y = [trial["flops_ratio"] for trial in tested], [trial["test"]["accuracy"] for trial in tested]
        axes.scatter(x, y, s=34, marker="_", color="black", label="front on test", zorder=4)
    if summary["dense"]:
        dense = summary["dense"]["accuracy"]
        axes.axhline(dense, color="#444", linewidth=0.8, linestyle=":", label=f"dense ({dense:.3f})")
    if summary["floor"]:
        floor = summary["floor"]["accuracy"]
        axes.axhline(floor, color="#d1495b", linewidth=0.8, linestyle="--", label=f"floor ({floor:.3f})")
    axes.set_xlabel("FLOPs, share of the dense model")
    axes.set_ylabel("accuracy on the search split")
    axes.set_title(f"{summary['run']}: hypervolume {summary['hypervolume_above_floor']:.3f}", loc="left", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="best")
    figure.savefig(file, dpi=150)
    pyplot.close(figure)


def draw_two_fronts(summaries: Sequence[dict[str, Any]], names: Sequence[str], file: Path) -> None:
    """Write a picture of the fronts of two runs on the search split, told apart by colour, marker and line."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.2, 4.6), layout="constrained")
    looks = (("#0072b2", "o", "-"), ("#d55e00", "s", "--"))
    for summary, name, (color, marker, line) in zip(summaries, names, looks, strict=True):
        x = [trial["flops_ratio"] for trial in summary["front"]]
        y = [trial["accuracy"] for trial in summary["front"]]
        label = f"{name} (hypervolume {summary['hypervolume_above_floor']:.3f})"
        axes.step(x, y, where="post", color=color, linestyle=line, linewidth=1.3)
        axes.scatter(x, y, s=26, color=color, marker=marker, label=label, zorder=3)
    axes.set_xlabel("FLOPs, share of the dense model")
    axes.set_ylabel("accuracy on the search split")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(file, dpi=150)
    pyplot.close(figure)
