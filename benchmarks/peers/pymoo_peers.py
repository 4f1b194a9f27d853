"""NSGA-II and SMS-EMOA of pymoo, with its operators for integers."""

from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.sms import SMSEMOA
from pymoo.core.problem import Problem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.optimize import minimize

from benchmarks.peers.evaluations import Evaluations
from search.strategies.plan_bits import CODE


class _Plans(Problem):  # type: ignore[misc]
    def __init__(self, evaluations: Evaluations) -> None:
        highest = evaluations.counts - 1
        super().__init__(n_var=len(highest), n_obj=2, xl=np.zeros_like(highest), xu=highest, vtype=int)
        self._evaluations = evaluations

    def _evaluate(self, x: np.ndarray, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        out["F"] = self._evaluations.losses(x.astype(CODE))


def run(evaluations: Evaluations, algorithm: str, population: int) -> None:
    """Run `nsga2` or `sms` until `BudgetSpentError`."""
    rng = np.random.default_rng(evaluations.seed)
    others = rng.integers(0, evaluations.counts, size=(population, len(evaluations.counts)))
    first = np.concatenate([evaluations.start, others])[:population]
    made = {"nsga2": NSGA2, "sms": SMSEMOA}[algorithm](
        pop_size=population,
        sampling=first.astype(float),
        crossover=SBX(prob=0.9, eta=3.0, vtype=float, repair=RoundingRepair()),
        mutation=PM(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    minimize(_Plans(evaluations), made, ("n_gen", 10_000), seed=evaluations.seed)
