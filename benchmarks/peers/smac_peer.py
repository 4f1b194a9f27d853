"""ParEGO of SMAC: random forests on one scalarization after another, through ask and tell."""

import tempfile
from pathlib import Path

import numpy as np
from ConfigSpace import Categorical, Configuration, ConfigurationSpace
from smac import HyperparameterOptimizationFacade, Scenario
from smac.multi_objective.parego import ParEGO
from smac.runhistory.dataclasses import TrialValue

from benchmarks.peers.evaluations import PATIENCE, Evaluations
from search.strategies.plan_bits import CODE


def run(evaluations: Evaluations, budget: int) -> None:
    """Run the optimizer until `BudgetSpentError`."""
    names = [f"block{block}" for block in range(len(evaluations.counts))]
    levels = {name: list(range(count)) for name, count in zip(names, evaluations.counts.tolist(), strict=True)}
    space = ConfigurationSpace(seed=evaluations.seed)
    space.add([Categorical(name, own) for name, own in levels.items()])
    scenario = Scenario(
        space,
        objectives=["loss", "flops"],
        n_trials=PATIENCE * budget,
        seed=evaluations.seed,
        deterministic=True,
        output_directory=Path(tempfile.mkdtemp()),
    )
    start = [Configuration(space, dict(zip(names, map(int, code), strict=True))) for code in evaluations.start]
    initial = HyperparameterOptimizationFacade.get_initial_design(
        scenario, n_configs=10 - len(start), additional_configs=start
    )
    smac = HyperparameterOptimizationFacade(
        scenario,
        lambda config, seed=0: 0.0,
        multi_objective_algorithm=ParEGO(scenario),
        initial_design=initial,
        logging_level=False,
        overwrite=True,
    )
    while True:
        trial = smac.ask()
        code = np.array([[trial.config[name] for name in names]], dtype=CODE)
        smac.tell(trial, TrialValue(cost=evaluations.losses(code)[0].tolist()))
