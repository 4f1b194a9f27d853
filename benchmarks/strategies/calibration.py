"""Measures the calibration of the default strategy: `python -m benchmarks.strategies.calibration`.

After a search of 100 trials the surrogate predicts random samples of the space that were not tried. The shares of true
accuracies within the central 50, 90 and 99 % of the predicted distributions, and the largest standardized error, are
printed per landscape.
"""

from typing import Annotated

import numpy as np
import typer
from scipy.special import ndtri

from benchmarks.origin import heading
from benchmarks.strategies.cells import LANDSCAPES, OURS, open_table
from benchmarks.strategies.replay import KEEP, Climb, replay
from benchmarks.truth.table import Table
from search.strategies.guided.learning import Learner
from search.strategies.guided.measured import Reader
from search.strategies.plan_bits import Coding
from search.strategies.strategy import Observation, Proposal, Signal, Task

CENTRAL = (0.5, 0.9, 0.99)
"""Central parts of the predicted distributions."""


def standardized_errors(table: Table, trials: int, plans: int, seed: int) -> np.ndarray:
    """Return the errors of predictions over their standard deviations, (P,), for P untried plans of the space.

    Args:
        table: the landscape.
        trials: number of trials of the search before.
        plans: number of samples of the space; those that were tried are left out.
        seed: seed of the search and the samples.
    """
    history = _history(table, trials, seed)
    space, rng = table.landscape.searched, np.random.default_rng(seed)
    task = Task(space=space, budget=trials, flops_ratio=table.cost, seed=seed)
    coding = Coding(space)
    learned = Learner(task, coding, Reader(task, coding)).learn(history)
    assert learned is not None, "a search has two trials with a result"
    tried = {trial.plan for trial in history}
    held_out = [plan for plan in dict.fromkeys(space.sample(rng) for _ in range(plans)) if plan not in tried]
    predicted = learned.fidelities.of(coding.bits(coding.encode(held_out))).if_judged()
    truths = np.array([table.climb(table.row(plan))[-1] for plan in held_out])
    errors: np.ndarray = (truths - predicted.mean) / predicted.deviation
    return errors


def _history(table: Table, trials: int, seed: int) -> list[Observation]:
    """Return the trials of a search as the strategy reads them."""
    run = replay(table, OURS, trials, seed)
    plans = {row: plan for plan, row in table.index.items()}
    climb, found = Climb(table, KEEP, seed, frozenset(Signal)), dict[int, Observation]()
    for number, (row, origin) in enumerate(zip(run.rows, run.origins, strict=True)):
        known = found[row].accuracies if row in found else ()
        found[row] = climb.run(number, Proposal(plans[row], origin, resumes=0 if known else None), known)
    return sorted(found.values(), key=lambda trial: trial.number)


def main(
    landscapes: Annotated[str, typer.Option(help="Names, separated by commas.")] = ",".join(LANDSCAPES),
    trials: Annotated[int, typer.Option(help="Trials of the search.")] = 100,
    plans: Annotated[int, typer.Option(help="Samples of the space.")] = 300,
    seeds: Annotated[int, typer.Option(help="Searches per landscape.")] = 3,
) -> None:
    """Print the calibration on every landscape."""
    print(heading("Calibration", trials=trials, plans=plans, seeds=seeds))
    print(f"{'landscape':20} {'50 %':>6} {'90 %':>6} {'99 %':>6} {'largest':>8}")
    for name in landscapes.split(","):
        errors = np.abs(
            np.concatenate([standardized_errors(open_table(name), trials, plans, seed) for seed in range(seeds)])
        )
        within = [float((errors <= ndtri(0.5 + part / 2)).mean()) for part in CENTRAL]
        print(f"{name:20} " + " ".join(f"{share:6.3f}" for share in within) + f" {errors.max():8.2f}", flush=True)


if __name__ == "__main__":
    typer.run(main)
