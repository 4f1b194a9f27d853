"""`docs/strategies.md` and its pictures, written from the stored results of `benchmarks.strategies`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.truth import Truth

DOCS = Path(__file__).parent.parent / "docs"
OURS = "guided"
DRAWN = ("guided", "additive", "one-shot", "greedy", "evolution", "tpe", "random")
MARK = "<!-- written by benchmarks.strategies from here on -->"
Results = Mapping[str, Any]


def write_report(store: Results) -> None:
    """Replaces what follows the mark in the document, and the pictures."""
    document = DOCS / "strategies.md"
    intro = document.read_text().split(MARK)[0]
    parts = [intro + MARK, _goals(store)]
    parts += [_rungs(name, results["strategies"]) for name, results in store.items() if _has_rungs(results)]
    for name, results in store.items():
        picture = f"strategies-{name.replace(':', '-')}.png"
        _draw(name, results["strategies"], DOCS / picture)
        parts.append(_section(name, results, picture))
    document.write_text("\n\n".join(parts) + "\n")


def _goals(store: Results) -> str:
    lines = ["## Reached or not", "", "| landscape | goal | got | |", "|---|---|---|---|"]
    for name, results in store.items():
        for goal, got, reached in _judged(results["strategies"]):
            lines.append(f"| {name} | {goal} | {got} | {'yes' if reached else '**no**'} |")
    return "\n".join(lines)


def _judged(strategies: Results) -> list[tuple[str, str, bool]]:
    """Every goal, what was got and whether that reaches it."""
    mine = strategies[OURS]
    share = {budget: np.array(result["share"]) for budget, result in mine.items()}
    others = {name: results for name, results in strategies.items() if name != OURS}
    fixed = (
        ("50", "median at 50 trials at least 0.95", np.median, 0.95),
        ("200", "median at 200 trials at least 0.99", np.median, 0.99),
        ("200", "worst seed at 200 trials at least 0.97", np.min, 0.97),
    )
    judged = [
        (goal, f"{measure(share[budget]):.4f}", measure(share[budget]) >= bound)
        for budget, goal, measure, bound in fixed
        if budget in share
    ]
    for budget in _in_order(mine):
        rivals = [(np.median(r[budget]["share"]), name) for name, r in others.items() if budget in r]
        if rivals:
            best, name = max(rivals)
            got = f"{np.median(share[budget]):.4f}, {name} {best:.4f}"
            judged.append((f"median at {budget} at least the best other's", got, np.median(share[budget]) >= best))
    rivals = [(np.median(r["200"]["share"]), name) for name, r in others.items() if "200" in r]
    if rivals and "200" in mine:
        best, name = max(rivals)
        reached = np.flatnonzero(np.array(mine["200"]["picture"]["share"][1]) >= best - 5e-5)
        trials = int(reached[0]) + 1 if len(reached) else None
        got = f"{name} {best:.4f}, in {trials or 'more than 200'} trials"
        judged.append(("what the best other has at 200 in at most 70", got, trials is not None and trials <= 70))
    judged += [_saving(budget, mine[budget]) for budget in _in_order(mine) if "compute" in mine[budget]]
    return [(goal, got, bool(reached)) for goal, got, reached in judged]


def _saving(budget: str, result: Results) -> tuple[str, str, bool]:
    """Whether rungs end where full trials do, for a third of their compute."""
    lost = float(np.median(result["eager_share"]) - np.median(result["share"]))
    ratio = float(np.median(result["compute"]) / np.median(result["eager_compute"]))
    goal = f"rungs at {budget} trials: share within 0.01 of full trials', a third of the compute"
    return goal, f"{lost:.4f} less, {ratio:.2f} of the compute", lost <= 0.01 and ratio <= 1 / 3


def _has_rungs(results: Results) -> bool:
    return any("compute" in result for own in results["strategies"].values() for result in own.values())


def _rungs(name: str, strategies: Results) -> str:
    """What rungs save: the same searches with trials stopped early and with every trial run to its end."""
    lines = [
        f"## What rungs save on {name}",
        "",
        "Medians. Share: of the exact hypervolume after the last rung. Compute: of all trials, in thousands of",
        "questions answered by the dense plan; a tuning step counts as the three passes it takes.",
        "",
        "| strategy | trials | share, rungs | share, all in full | difference | compute, rungs | in full | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for strategy, own in strategies.items():
        for budget in _in_order(own):
            result = own[budget]
            lazy, eager = np.median(result["share"]), np.median(result["eager_share"])
            spent, whole = np.median(result["compute"]), np.median(result["eager_compute"])
            lines.append(
                f"| {strategy} | {budget} | {lazy:.4f} | {eager:.4f} | {lazy - eager:+.4f} | {spent / 1e3:.0f} "
                f"| {whole / 1e3:.0f} | {spent / whole:.2f} |"
            )
    return "\n".join(lines)


def _section(name: str, results: Results, picture: str) -> str:
    table, _, kind = name.partition(":")
    truth = Truth.load(table)
    truth = truth.only((kind,)) if kind else truth
    budgets = _in_order(results["strategies"][OURS])
    fingerprints, shown = results["truth"]["fingerprints"], results["truth"]["versions"]
    lines = [
        f"## {name}",
        "",
        f"{len(truth.plans)} plans, {int(truth.questions['search'].sum())} questions"
        f"{f' of kind {kind}' if kind else ''}, {len(truth.front())} plans on the exact front, its hypervolume "
        f"{truth.volume():.4f}. Model {fingerprints['model']}, data {fingerprints['data']}, torch {shown['torch']}.",
        "",
        "Share of the exact hypervolume: median (lower to upper quartile; worst).",
        "",
        "| strategy | " + " | ".join(budgets) + " | regret on test at 200 | ms an ask |",
        "|---" * (len(budgets) + 3) + "|",
    ]
    lines += [_row(strategy, result, budgets) for strategy, result in results["strategies"].items()]
    return "\n".join([*lines, "", f"![Share by trials, and accuracy attained]({picture})"])


def _in_order(results: Results) -> list[str]:
    """The budgets of some results, smallest first."""
    return sorted(results, key=int)


def _row(strategy: str, results: Results, budgets: list[str]) -> str:
    cells = [_cell(results[budget]["share"]) if budget in results else "" for budget in budgets]
    at = results.get("200")
    regret = f"{np.median(at['regret']):.4f}" if at and "regret" in at else ""
    slowest = max(result["milliseconds"] for result in results.values())
    return f"| {strategy} | " + " | ".join(cells) + f" | {regret} | {slowest:.1f} |"


def _cell(shares: list[float]) -> str:
    low, middle, high = np.quantile(shares, (0.25, 0.5, 0.75))
    return f"{middle:.4f} ({low:.3f} to {high:.3f}; {min(shares):.3f})"


def _draw(name: str, strategies: Results, file: Path) -> None:
    """Share against trials and against time, and the median accuracy attained at every ratio of FLOPs, of the runs
    that are drawn."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.2), layout="constrained")
    left, timed_axes, right = figure.subplots(1, 3)
    pictures = {
        strategy: result["picture"]
        for strategy in DRAWN
        for result in strategies.get(strategy, {}).values()
        if "picture" in result
    }
    for strategy, picture in pictures.items():
        low, middle, high = picture["share"]
        trials = range(1, len(middle) + 1)
        (line,) = left.plot(trials, middle, label=strategy, linewidth=2.2 if strategy == OURS else 1.2)
        left.fill_between(trials, low, high, color=line.get_color(), alpha=0.15)
        timed = picture["timed"][1]
        timed_axes.plot(np.linspace(0.0, 60.0, len(timed)), timed, color=line.get_color(), label=strategy)
        attained = picture["attained"][1]
        right.step(
            np.linspace(0.05, 1.0, len(attained)), attained, where="post", color=line.get_color(), label=strategy
        )
    left.set(
        xlabel="trials",
        ylabel="share of the exact hypervolume",
        title=f"{name}: median and quartiles",
        ylim=(0.5, 1.005),
    )
    right.set(xlabel="FLOPs / dense", ylabel="accuracy (search split)", title="attained by half of the seeds")
    timed_axes.set(
        xlabel="seconds: asks as measured, trials at the speed of the embedded model",
        ylabel="share of the exact hypervolume",
        title="median by time",
        ylim=(0.5, 1.005),
    )
    if pictures:
        left.legend(fontsize=8)
    for axes in (left, timed_axes, right):
        axes.grid(alpha=0.3)
    figure.savefig(file, dpi=110)
