"""Comparison of all strategies on measured tables: `python -m benchmarks.strategies`.

Each strategy searches each landscape with each budget and seed, on the stored tables of `benchmarks.truth.enumerated`
and `benchmarks.truth.grown`. No model runs, except for plans of a growing table that were not measured before. On
tables with several rungs, trials are promoted as in a search; a second run without stopping gives the compute that
rungs save. Results are stored in `benchmarks/data/strategies.json`, from which `benchmarks.strategies.report` writes
`docs/strategies.md` and its pictures. With strategies, landscapes or budgets given, only these run again.

With `--table FILE.npz`, a table from outside the repository is searched instead (`benchmarks.truth.outside_table`
describes the file), and nothing is stored:

    python -m benchmarks.strategies --table FILE.npz --strategies guided --budgets 25,50,100,200 --json
"""

import json
import os
import platform
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.origin import heading
from benchmarks.strategies.cells import (
    BUDGETS,
    LANDSCAPES,
    OURS,
    OURS_ALSO,
    SEEDS,
    STRATEGIES,
    Cell,
    cells_of,
    open_table,
    run_all,
)
from benchmarks.strategies.comparison import settle
from benchmarks.strategies.report import write_report
from benchmarks.truth.enumerated import DATA
from benchmarks.truth.grown import Grown
from benchmarks.truth.outside_table import Given
from spaces.names import unknown
from workers.software import commit, versions

STORE = DATA / "strategies.json"
"""File of the results."""
ALL = {"landscapes": LANDSCAPES, "strategies": STRATEGIES, "budgets": tuple(map(str, (*BUDGETS, *OURS_ALSO)))}


def load_store() -> dict[str, Any]:
    """Return all stored results.

    `landscapes` has the results by landscape, strategy and budget. `run` has the origin of the last whole run, and
    `everything` that of the last one with all seeds of slow strategies.
    """
    empty = {"run": None, "everything": None, "landscapes": {}}
    return json.loads(STORE.read_text()) if STORE.exists() else empty


def main(
    landscapes: Annotated[str, typer.Option(help="Names, separated by commas.")] = ",".join(ALL["landscapes"]),
    strategies: Annotated[str, typer.Option(help="Names, separated by commas.")] = ",".join(ALL["strategies"]),
    budgets: Annotated[str, typer.Option(help="Trials per search, separated by commas.")] = ",".join(ALL["budgets"]),
    seeds: Annotated[int, typer.Option(help="Searches per strategy and budget.")] = SEEDS,
    everything: Annotated[
        bool, typer.Option(help="Run slow strategies with all budgets and seeds; takes hours.")
    ] = False,
    processes: Annotated[int, typer.Option(help="Number of parallel searches.")] = os.cpu_count() or 1,
    table: Annotated[
        Path | None, typer.Option(help="Search this table instead of the landscapes, and store nothing.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results of --table as JSON.")] = False,
) -> None:
    """Run the comparison, store it and write the report."""
    if table is not None:
        _search_table(table, strategies, budgets, seeds, processes, as_json)
        return
    if as_json:
        raise typer.BadParameter("--json must come with --table FILE.npz: without, the results are stored as JSON")
    print(heading("Strategies against the truth", budgets=budgets, seeds=seeds, processes=processes))
    start = perf_counter()
    chosen = _chosen(landscapes=landscapes, strategies=strategies, budgets=budgets)
    growing = _save_growing(chosen["landscapes"])
    budget_list = list(map(int, chosen["budgets"]))
    cells = cells_of(chosen["landscapes"], chosen["strategies"], budget_list, seeds, everything)
    for number, (cell, result) in enumerate(run_all(cells, processes), start=1):
        _keep(cell, result)
        middle = f"{np.median(result['share']):.4f}"
        print(f"{number}/{len(cells)} {cell.landscape:18} {cell.budget:4} {cell.strategy:14} {middle}", flush=True)
    store = load_store()
    _save_growing(growing)
    for name in growing:
        _settle_all(store["landscapes"][name], open_table(name).volume())
    seconds = round(perf_counter() - start, 3)
    if everything:
        store["everything"] = _described(seconds, seeds, processes)
    elif chosen == ALL:
        store["run"] = _described(seconds, seeds, processes)
    _write(store)
    write_report(store)
    print(f"{len(cells)} cells in {seconds / 60:.1f} minutes, {processes} processes")


def _chosen(**requested: str) -> dict[str, tuple[str, ...]]:
    """Return kind -> names, given kind -> names separated by commas; an unknown name is an error."""
    chosen = {kind: tuple(names.split(",")) for kind, names in requested.items()}
    for kind, names in chosen.items():
        for name in names:
            if name not in ALL[kind]:
                raise typer.BadParameter(str(unknown(kind, name, ALL[kind])))
    return chosen


def _search_table(file: Path, strategies: str, budgets: str, seeds: int, processes: int, as_json: bool) -> None:
    """Run strategies on a table from outside the repository and print their shares."""
    names = strategies.split(",")
    for name in names:
        if name not in STRATEGIES:
            raise typer.BadParameter(str(unknown("strategies", name, STRATEGIES)))
    try:
        opened, sizes = Given.load(file), [int(budget) for budget in budgets.split(",")]
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from None
    fit = [budget for budget in sizes if 0 < budget <= len(opened.plans)]
    if not fit:
        raise typer.BadParameter(f"--budgets must have one from 1 to the {len(opened.plans)} plans of {file}")
    cells = [Cell(str(file), name, budget, seeds, pictured=False) for name in names for budget in fit]
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    for cell, result in run_all(cells, processes):
        found[cell.strategy][str(cell.budget)] = result
        if not as_json:
            print(f"{cell.budget:4} {cell.strategy:14} {np.median(result['share']):.4f}", flush=True)
    if as_json:
        described = {"table": str(file), "complete": opened.complete, "plans": len(opened.plans)}
        print(json.dumps({**described, "volume": opened.volume(), "strategies": found}, indent=1))


def _save_growing(landscapes: tuple[str, ...] | list[str]) -> list[str]:
    """Save the tables that grow with all measured plans, and return their names."""
    growing = []
    for name in landscapes:
        table = open_table(name)
        if isinstance(table, Grown):
            table.save()
            growing.append(name)
    return growing


def _settle_all(place: dict[str, Any], volume: float) -> None:
    for results in place["strategies"].values():
        for result in results.values():
            settle(result, volume)


def _described(seconds: float, seeds: int, processes: int) -> dict[str, Any]:
    """Return the origin of the numbers of a run."""
    return {
        "commit": commit(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "processes": processes,
        "versions": versions(),
        "seeds": seeds,
        "seconds": seconds,
    }


def _keep(cell: Cell, result: dict[str, Any]) -> None:
    """Store one result and remove those of another table.

    A result of a slow strategy with more seeds, from `--everything`, stays, because the same strategy would repeat it.
    """
    store, origin = load_store(), json.loads(json.dumps(open_table(cell.landscape).origin))
    place = store["landscapes"].get(cell.landscape)
    if place is None or place["truth"] != origin:
        place = store["landscapes"][cell.landscape] = {"truth": origin, "strategies": {}}
    own = place["strategies"].setdefault(cell.strategy, {})
    before = own.get(str(cell.budget), {"share": []})
    if cell.strategy == OURS or cell.seeds >= len(before["share"]):
        own[str(cell.budget)] = result
    _write(store)


def _write(store: dict[str, Any]) -> None:
    """Write the results with landscapes and strategies in their fixed order."""
    landscapes = {name: store["landscapes"][name] for name in LANDSCAPES if name in store["landscapes"]}
    for place in landscapes.values():
        own = place["strategies"]
        place["strategies"] = {name: dict(sorted(own[name].items(), key=_budget)) for name in STRATEGIES if name in own}
    STORE.write_text(json.dumps({**store, "landscapes": landscapes}) + "\n")


def _budget(item: tuple[str, Any]) -> int:
    return int(item[0])


if __name__ == "__main__":
    typer.run(main)
