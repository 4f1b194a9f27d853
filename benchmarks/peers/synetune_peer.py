"""Multi-objective regularized evolution of Syne Tune, through ask and tell."""

import numpy as np
from syne_tune.config_space import choice
from syne_tune.optimizer.schedulers.ask_tell_scheduler import AskTellScheduler
from syne_tune.optimizer.schedulers.multiobjective import MultiObjectiveRegularizedEvolution
from syne_tune.optimizer.schedulers.single_fidelity_scheduler import SingleFidelityScheduler

from benchmarks.peers.evaluations import Evaluations
from search.strategies.plan_bits import CODE


def run(evaluations: Evaluations, population: int) -> None:
    """Run the optimizer until `BudgetSpentError`."""
    names = [f"block{block}" for block in range(len(evaluations.counts))]
    levels = {name: choice(list(range(count))) for name, count in zip(names, evaluations.counts.tolist(), strict=True)}
    searcher = MultiObjectiveRegularizedEvolution(
        levels,
        points_to_evaluate=[dict(zip(names, map(int, code), strict=True)) for code in evaluations.start],
        population_size=population,
        sample_size=max(2, population // 4),
        random_seed=evaluations.seed,
    )
    metrics = ["loss", "flops"]
    scheduler = AskTellScheduler(
        SingleFidelityScheduler(levels, metrics=metrics, searcher=searcher, random_seed=evaluations.seed)
    )
    while True:
        trial = scheduler.ask()
        code = np.array([[trial.config[name] for name in names]], dtype=CODE)
        scheduler.tell(trial, dict(zip(metrics, evaluations.losses(code)[0].tolist(), strict=True)))
