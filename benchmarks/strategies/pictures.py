"""The pictures of the comparison, one per landscape."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.strategies.cells import OURS
from benchmarks.strategies.comparison import FLOPS, SECONDS

DRAWN = ("guided", "additive", "one-shot", "greedy", "evolution", "tpe", "gp", "random")
"""Strategies with curves."""


def draw(name: str, strategies: Mapping[str, Any], whole: str, file: Path) -> None:
    """Draw share against trials and against time, and median attained accuracy against FLOPs, into a file.

    Args:
        name: the landscape.
        strategies: results by strategy and budget.
        whole: description of a share of 1.
        file: the image file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.2), layout="constrained")
    by_trials, by_time, attained = figure.subplots(1, 3)
    pictures = _pictures(strategies)
    for strategy, picture in pictures.items():
        low, middle, high = picture["share"]
        trials = range(1, len(middle) + 1)
        (line,) = by_trials.plot(trials, middle, label=strategy, linewidth=2.2 if strategy == OURS else 1.2)
        by_trials.fill_between(trials, low, high, color=line.get_color(), alpha=0.15)
        by_time.plot(SECONDS, picture["timed"][1], color=line.get_color(), label=strategy)
        attained.step(FLOPS, picture["attained"][1], where="post", color=line.get_color(), label=strategy)
    shares = {"ylabel": f"share of {whole}", "ylim": (0.5, 1.005)}
    by_trials.set(xlabel="trials", title=f"{name}: median and quartiles", **shares)
    by_time.set(
        xlabel="seconds: asks as measured, trials at the speed of the embedded model", title="median by time", **shares
    )
    attained.set(xlabel="FLOPs / dense", ylabel="accuracy (search split)", title="attained by half of the seeds")
    if pictures:
        by_trials.legend(fontsize=8)
    for axes in (by_trials, by_time, attained):
        axes.grid(alpha=0.3)
    figure.savefig(file, dpi=110)


def _pictures(strategies: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return strategy -> curves of its largest budget with curves."""
    pictures = {}
    for strategy in DRAWN:
        results = strategies.get(strategy, {})
        if budgets := [int(budget) for budget, result in results.items() if "picture" in result]:
            pictures[strategy] = results[str(max(budgets))]["picture"]
    return pictures
