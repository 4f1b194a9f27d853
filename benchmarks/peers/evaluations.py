"""Presents a landscape to peers: plans as integers, two objectives to minimize, and a budget of distinct plans."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.truth.table import Table
from search.loop.proposer import pick_baselines
from search.strategies.plan_bits import Codes, Coding
from search.strategies.strategy import Task
from spaces.plan import Plan

START = 3
"""Number of plans that every peer begins with, those of `guided`; the dense plan is among them."""
PATIENCE = 30
"""Evaluations of known plans per trial of the budget after which a peer is stopped."""


class BudgetSpentError(Exception):
    """The budget of distinct plans is spent."""


class Evaluations:
    """The evaluations of one peer; a repeated plan does not count as a trial."""

    def __init__(self, table: Table, budget: int, seed: int) -> None:
        self._table, self._budget = table, budget
        self._calls = 0
        self.seed = seed
        space = table.landscape.searched
        self.coding = Coding(space)
        task = Task(space=space, budget=budget, flops_ratio=table.cost, seed=seed)
        self.space = space
        self.start = self.coding.encode([proposal.plan for proposal in pick_baselines(task, START)])
        """(S, L) codes of the first plans."""
        self.rows: list[int] = []
        """Rows of the table in the order of the trials."""
        self._plans: dict[Plan, tuple[float, float]] = {}

    @property
    def counts(self) -> NDArray[np.int64]:
        """Return the number of levels of every block, (L,)."""
        return self.coding.counts

    def losses(self, codes: Codes) -> NDArray[np.float64]:
        """Return 1 - accuracy and FLOPs ratio of plans, (N, 2).

        Raises:
            BudgetSpentError: at the first plan beyond the budget, or after `PATIENCE` evaluations per trial of it.
        """
        return np.array([self._loss(self.coding.decode(code)) for code in codes])

    def costs(self, codes: Codes) -> NDArray[np.float64]:
        """Return the FLOPs ratios, (N,), which are known for every plan; this is not a trial."""
        return np.array([self._table.cost(self.coding.decode(code)) for code in codes])

    def shares(self, budgets: Sequence[int]) -> list[float]:
        """Return the share of the exact hypervolume after each number of trials."""
        return [self._table.share(self.rows[:budget]) for budget in budgets]

    def _loss(self, plan: Plan) -> tuple[float, float]:
        self._calls += 1
        if plan not in self._plans:
            if len(self.rows) >= self._budget:
                raise BudgetSpentError
            row = self._table.row(plan)
            self.rows.append(row)
            self._plans[plan] = 1.0 - self._table.climb(row)[-1], self._table.cost(plan)
        if self._calls > PATIENCE * self._budget:
            raise BudgetSpentError
        return self._plans[plan]
