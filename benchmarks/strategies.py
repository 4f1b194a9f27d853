"""Every strategy against the truth, side by side: `python -m benchmarks.strategies`.

Each strategy searches each landscape with each budget and seed, told the budget, on the stored tables of
`benchmarks.truth`: no model runs. What comes out is `benchmarks/data/strategies.json`, from which
`benchmarks.strategy_report` writes `docs/strategies.md` and its pictures. Given strategies or landscapes, only these
are run again and the others' results stay.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.origin import heading
from benchmarks.replay import Run, regret, replay, share
from benchmarks.strategy_report import write_report
from benchmarks.truth import DATA, Truth
from workers.software import commit

STORE = DATA / "strategies.json"
STRATEGIES = (
    "guided",
    "evolution",
    "additive",
    "one-shot",
    "greedy",
    "bandit",
    "evopress",
    "interval-grid",
    "tpe",
    "nsga2",
    "random",
    "gp",
)
BUDGETS = (25, 50, 100, 200, 400)
PICTURED = 200
"""The budget whose runs are drawn."""
FLOPS = np.linspace(0.05, 1.0, 77)
"""Where attained accuracies are compared."""
SLOW = {"gp": (2, 50), "additive": (10, 200)}
"""Strategies that take long for a proposal: seeds and largest budget they are run with."""
LANDSCAPES = ("blocks12", "blocks12:read_row", "blocks12:where_is", "layers6")
"""Tables of `benchmarks.truth`; after a colon the only kind of question asked, which is another task."""


def landscape(name: str) -> Truth:
    """A table, or the part of it that one kind of question makes."""
    table, _, kind = name.partition(":")
    truth = Truth.load(table)
    return truth.only((kind,)) if kind else truth


def compare(truth: Truth, strategy: str, seeds: int) -> dict[str, Any]:
    """Results of one strategy on one landscape, by budget; ready for JSON."""
    most_seeds, most = SLOW.get(strategy, (seeds, max(BUDGETS)))
    results = {}
    for budget in (budget for budget in BUDGETS if budget <= most):
        runs = [replay(truth, strategy, budget, seed) for seed in range(min(seeds, most_seeds))]
        results[str(budget)] = {
            "share": [round(share(truth, run.rows), 5) for run in runs],
            "regret": [round(regret(truth, run.rows), 5) for run in runs],
            "milliseconds": round(1e3 * float(np.mean([second for run in runs for second in run.seconds])), 2),
            **({"picture": _picture(truth, runs)} if budget == PICTURED else {}),
        }
    return results


def _picture(truth: Truth, runs: list[Run]) -> dict[str, Any]:
    """Quartiles over the seeds of the share after every trial, and of the accuracy attained at every ratio."""
    shares = [[share(truth, run.rows[:trial]) for trial in range(1, PICTURED + 1)] for run in runs]
    accuracy = truth.accuracy("search")
    attained = []
    for run in runs:
        rows = np.asarray(run.rows)
        within = truth.flops_ratio[rows][None] <= FLOPS[:, None] + 1e-9
        attained.append(np.where(within, accuracy[rows][None], 0.0).max(1))
    quartiles = (0.25, 0.5, 0.75)
    return {
        "share": np.quantile(shares, quartiles, axis=0).round(4).tolist(),
        "attained": np.quantile(attained, quartiles, axis=0).round(4).tolist(),
    }


def load_store(file: Path = STORE) -> dict[str, Any]:
    """All results so far: landscape, then strategy."""
    return json.loads(file.read_text()) if file.exists() else {}


def main(
    landscapes: Annotated[str, typer.Option(help="Names, with commas.")] = ",".join(LANDSCAPES),
    strategies: Annotated[str, typer.Option(help="Names, with commas.")] = ",".join(STRATEGIES),
    seeds: Annotated[int, typer.Option(help="Searches per strategy and budget.")] = 10,
) -> None:
    """Runs the comparison, stores it and writes the report."""
    print(heading("Strategies against the truth", budgets=BUDGETS, seeds=seeds))
    for name in landscapes.split(","):
        truth = landscape(name)
        for strategy in strategies.split(","):
            store = load_store()
            place = store.setdefault(name, {"truth": dict(truth.origin), "strategies": {}})
            place["truth"] = dict(truth.origin)
            results = place["strategies"][strategy] = {"commit": commit(), "budgets": compare(truth, strategy, seeds)}
            STORE.write_text(json.dumps(store, indent=1) + "\n")
            medians = " ".join(f"{b}: {np.median(r['share']):.4f}" for b, r in results["budgets"].items())
            print(f"{name:18} {strategy:14} {medians}", flush=True)
    write_report(load_store())


if __name__ == "__main__":
    typer.run(main)
