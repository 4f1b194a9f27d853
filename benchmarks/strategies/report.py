"""Writer of `docs/strategies.md` and its pictures from the stored results of `benchmarks.strategies.__main__`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.strategies.cells import OURS, OURS_ALSO, PICTURED, SEEDS, open_table
from benchmarks.strategies.pictures import draw
from benchmarks.strategies.targets import check_targets, in_order, in_time, median
from benchmarks.truth.landscapes import LANDSCAPES
from benchmarks.truth.table import Table

DOCS = Path(__file__).parents[2] / "docs"
MARK = "<!-- written by benchmarks.strategies.__main__ from here on -->"
Results = Mapping[str, Any]


def write_report(store: Results) -> None:
    """Replace the part of the document after the mark, and the pictures."""
    document = DOCS / "strategies.md"
    intro = document.read_text().split(MARK)[0]
    landscapes = store["landscapes"]
    parts = [intro + MARK, _origin(store), _goals(store)]
    ours = {name: results["strategies"].get(OURS, {}) for name, results in landscapes.items()}
    parts += [_rungs(name, mine) for name, mine in ours.items() if _has_rungs(mine)]
    for name, results in landscapes.items():
        picture = f"strategies-{name.replace(':', '-')}.png"
        draw(name, results["strategies"], _whole(name), DOCS / picture)
        parts.append(_section(name, results, picture))
    document.write_text("\n\n".join(parts) + "\n")


def _origin(store: Results) -> str:
    """Return the section on duration and machine of the last whole run and the commits of the results."""
    results = [
        result
        for place in store["landscapes"].values()
        for own in place["strategies"].values()
        for result in own.values()
    ]
    commits = ", ".join(sorted({str(result["commit"])[:10] for result in results}))
    lines = ["## Where the numbers come from", ""]
    if run := store["run"]:
        lines.append(f"The last whole run took {_run(run)}")
    if run := store["everything"]:
        lines.append(f"Slow peers with all seeds, as far as cells don't say fewer (`--everything`): {_run(run)}")
    return "\n".join([*lines, f"The results below are of commits: {commits}."])


def _run(run: Results) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return (
        f"{run['seconds'] / 60:.1f} minutes with {run['processes']} processes on {run['cores']} cores "
        f"({run['machine']}), {run['seeds']} seeds; commit {run['commit']}; {packages}."
    )


def _goals(store: Results) -> str:
    lines = ["## Reached or not", "", "| landscape | goal | got | |", "|---|---|---|---|"]
    judged = [("all", verdict) for verdict in in_time(store["run"])]
    for name, results in store["landscapes"].items():
        if OURS in results["strategies"]:
            judged += [(name, verdict) for verdict in check_targets(results["strategies"], exact=not _grows(name))]
    lines += [f"| {name} | {goal} | {got} | {'yes' if yes else '**no**'} |" for name, (goal, got, yes) in judged]
    return "\n".join(lines)


def _grows(name: str) -> bool:
    return LANDSCAPES[name.partition(":")[0]].grows


def _whole(name: str) -> str:
    """Return the description of a share of 1."""
    return "the hypervolume of all runs' plans" if _grows(name) else "the exact hypervolume"


def _has_rungs(mine: Results) -> bool:
    return any("compute" in result for result in mine.values())


def _rungs(name: str, mine: Results) -> str:
    """Return the section on the compute that rungs save, with trials stopped early and run to the end."""
    lines = [
        f"## What rungs save on {name}",
        "",
        f"Medians over the seeds of `{OURS}`, with stopped trials (rungs) and without (in full). Share: of the",
        "exact hypervolume after the last rung. Compute: of all trials, in thousands of questions answered by the",
        "dense plan, signals included; a tuning step counts as three forward passes. A trial that continues a",
        "stopped one tunes from step 0 and answers the questions of its new rungs only. To reach: compute at which",
        "a search first has the share that the search in full has at its end, less 0.01, relative to the compute",
        "of the search in full.",
        "",
        "| trials | share, rungs | in full | difference | compute, rungs | in full | ratio | to reach | in full |",
        "|---" * 9 + "|",
    ]
    for budget in in_order(mine):
        lazy, eager, spent, whole = (
            median(mine[budget], each) for each in ("share", "eager_share", "compute", "eager_compute")
        )
        reached = [_ratio(median(mine[budget], each)) for each in ("ratio_to_reach", "eager_ratio_to_reach")]
        lines.append(
            f"| {budget} | {lazy:.4f} | {eager:.4f} | {lazy - eager:+.4f} | {spent / 1e3:.0f} "
            f"| {whole / 1e3:.0f} | {spent / whole:.2f} | {reached[0]} | {reached[1]} |"
        )
    return "\n".join(lines)


def _ratio(reached: float) -> str:
    return f"{reached:.2f}" if np.isfinite(reached) else "never"


def _section(name: str, results: Results, picture: str) -> str:
    strategies = results["strategies"]
    all_budgets = {budget for own in strategies.values() for budget in own} - set(map(str, OURS_ALSO))
    budgets = sorted(all_budgets, key=int)
    tested = max((budget for budget in budgets if int(budget) <= PICTURED), key=int, default=budgets[0])
    lines = [
        f"## {name}",
        "",
        f"{_described(name, open_table(name))} {_measured(results['truth'])}",
        "",
        f"Share of {_whole(name)}: median (lower to upper quartile; worst). Where a strategy was run with fewer",
        "than ten seeds, or regret is of another budget, the cell says so.",
        "",
        "| strategy | " + " | ".join(budgets) + f" | regret on test at {tested} | ms per proposal |",
        "|---" * (len(budgets) + 3) + "|",
    ]
    lines += [_row(strategy, result, budgets, tested) for strategy, result in strategies.items()]
    return "\n".join([*lines, "", f"![Share by trials, and accuracy attained]({picture})"])


def _described(name: str, table: Table) -> str:
    """Return the numbers of plans and questions and the size of the front."""
    kind = name.partition(":")[2]
    plans, best = len(table.flops_ratio), f"its hypervolume {table.volume():.4f}"
    questions = f"{int(table.questions['search'].sum())} questions{f' of kind {kind}' if kind else ''}"
    if _grows(name):
        size = table.landscape.searched.size
        return f"{plans} of {size} plans were measured, {questions}, {len(table.front())} plans on their front, {best}."
    return f"{plans} plans, {questions}, {len(table.front())} plans on the exact front, {best}."


def _measured(truth: Results) -> str:
    marks = truth["fingerprints"]
    device = f", {truth['device']}" if "device" in truth else ""
    return f"Model {marks['model']}, data {marks['data']}, torch {truth['versions']['torch']}{device}."


def _row(strategy: str, results: Results, budgets: list[str], tested: str) -> str:
    cells = [_cell(results[budget]["share"]) if budget in results else "" for budget in budgets]
    slowest = max(result["milliseconds"] for result in results.values())
    return f"| {strategy} | " + " | ".join([*cells, median_regret(results, tested)]) + f" | {slowest:.1f} |"


def median_regret(results: Results, tested: str) -> str:
    """Return the median regret at a budget, or at the largest one below it."""
    known = [budget for budget in results if "regret" in results[budget] and int(budget) <= int(tested)]
    if not known:
        return ""
    budget = max(known, key=int)
    return f"{median(results[budget], 'regret'):.4f}" + (f" (at {budget})" if budget != tested else "")


def _cell(shares: list[float]) -> str:
    low, middle, high = np.quantile(shares, (0.25, 0.5, 0.75))
    few = f"; {len(shares)} seeds" if len(shares) < SEEDS else ""
    return f"{middle:.4f} ({low:.3f} to {high:.3f}; {min(shares):.3f}{few})"
