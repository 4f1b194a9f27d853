"""Every strategy against the truth, side by side: `python -m benchmarks.strategies`.

Each strategy searches each landscape with each budget and seed, told the budget, on the stored tables of
`benchmarks.truth`: no model runs. On tables with several rungs trials climb as in a search, and once more without being
stopped, for the compute that rungs save. What comes out is `benchmarks/data/strategies.json`, from which
`benchmarks.strategy_report` writes `docs/strategies.md` and its pictures. Given strategies or landscapes, only these
are run again and the others' results stay.
"""

import json
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.origin import heading
from benchmarks.replay import Run, compute, regret, replay, share
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
"""The budget whose runs are drawn; on a small table the largest that leaves half of it."""
FLOPS = np.linspace(0.05, 1.0, 77)
"""Where attained accuracies are compared."""
SLOW = {"gp": (2, 25), "additive": (3, 200), "tpe": (3, 200), "nsga2": (3, 200), "bandit": (5, 200)}
"""Strategies that take long for a proposal: seeds and largest budget they are run with."""
TRIAL_SECONDS = 0.55
"""What a trial of the dense model takes: 512 questions, one thread of an x86-64 machine that did little else."""
SECONDS = np.linspace(0.0, 60.0, 121)
"""Where shares are compared by time."""
LANDSCAPES = ("blocks12", "layers6", "rungs4", "blocks12:read_row", "blocks12:where_is")
"""Tables of `benchmarks.truth`; after a colon the only kind of question asked, which is another task."""


def landscape(name: str) -> Truth:
    """A table, or the part of it that one kind of question makes."""
    table, _, kind = name.partition(":")
    truth = Truth.load(table)
    return truth.only((kind,)) if kind else truth


def compare(truth: Truth, strategy: str, budget: int, seeds: int) -> dict[str, Any]:
    """Results of one strategy with one budget on one landscape; ready for JSON."""
    runs = [replay(truth, strategy, budget, seed) for seed in range(seeds)]
    result = {
        "commit": commit(),
        "share": [round(share(truth, run.counted()), 5) for run in runs],
        "milliseconds": round(1e3 * float(np.mean([second for run in runs for second in run.seconds])), 2),
    }
    if "test" in truth.right:
        result["regret"] = [round(regret(truth, run.counted()), 5) for run in runs]
    if len(truth.landscape.rungs) > 1:
        eager = [replay(truth, strategy, budget, seed, keep_fraction=1.0) for seed in range(seeds)]
        result["compute"] = [round(compute(truth, run)) for run in runs]
        result["eager_share"] = [round(share(truth, run.counted()), 5) for run in eager]
        result["eager_compute"] = [round(compute(truth, run)) for run in eager]
    if budget == max(b for b in BUDGETS if b <= min(PICTURED, len(truth.plans) / 2)):
        result["picture"] = _picture(truth, runs)
    return result


def _picture(truth: Truth, runs: list[Run]) -> dict[str, Any]:
    """Quartiles over the seeds of the share after every trial and after so many seconds, and of the accuracy attained
    at every ratio."""
    shares = [[share(truth, run.counted(trial)) for trial in range(1, len(run.rows) + 1)] for run in runs]
    accuracy = truth.accuracy("search")
    attained, timed = [], []
    for run, own in zip(runs, shares, strict=True):
        rows = np.asarray(run.counted())
        within = truth.flops_ratio[rows][None] <= FLOPS[:, None] + 1e-9
        attained.append(np.where(within, accuracy[rows][None], 0.0).max(1))
        ends = np.cumsum(np.array(run.seconds[: len(own)]) + TRIAL_SECONDS * truth.flops_ratio[list(run.rows)])
        timed.append(np.concatenate([[0.0], own])[np.searchsorted(ends, SECONDS, side="right")])
    quartiles = (0.25, 0.5, 0.75)
    return {
        "share": np.quantile(shares, quartiles, axis=0).round(4).tolist(),
        "timed": np.quantile(timed, quartiles, axis=0).round(4).tolist(),
        "attained": np.quantile(attained, quartiles, axis=0).round(4).tolist(),
    }


def load_store(file: Path = STORE) -> dict[str, Any]:
    """All results so far: landscape, then strategy."""
    return json.loads(file.read_text()) if file.exists() else {}


def main(
    landscapes: Annotated[str, typer.Option(help="Names, with commas.")] = ",".join(LANDSCAPES),
    strategies: Annotated[str, typer.Option(help="Names, with commas.")] = ",".join(STRATEGIES),
    budgets: Annotated[str, typer.Option(help="Trials of a search, with commas.")] = ",".join(map(str, BUDGETS)),
    seeds: Annotated[int, typer.Option(help="Searches per strategy and budget.")] = 10,
) -> None:
    """Runs the comparison, stores it and writes the report."""
    print(heading("Strategies against the truth", budgets=budgets, seeds=seeds))
    for name, budget, strategy in product(landscapes.split(","), map(int, budgets.split(",")), strategies.split(",")):
        most_seeds, most = SLOW.get(strategy, (seeds, budget))
        if budget > most:
            continue
        truth = landscape(name)
        if budget > len(truth.plans) / 2:
            continue
        result = compare(truth, strategy, budget, min(seeds, most_seeds))
        _keep(name, truth, strategy, budget, result)
        print(f"{name:18} {budget:4} {strategy:14} {np.median(result['share']):.4f}", flush=True)
    write_report(load_store())


def _keep(name: str, truth: Truth, strategy: str, budget: int, result: dict[str, Any]) -> None:
    """Stores one result; those of another truth go."""
    store, origin = load_store(), json.loads(json.dumps(truth.origin))
    place = store.get(name)
    if place is None or place["truth"] != origin:
        place = store[name] = {"truth": origin, "strategies": {}}
    place["strategies"].setdefault(strategy, {})[str(budget)] = result
    STORE.write_text(json.dumps(store) + "\n")


if __name__ == "__main__":
    typer.run(main)
