"""Additive scores and integer programming, after Puzzle (Bercovich et al. 2024, arXiv 2411.19146).

Each replacement of one block is scored alone, and the loss of a plan is assumed to be the sum of its scores. The best
plan within a bound on FLOPs is then the solution of a small integer program, solved for one bound after another. One
constraint per plan excludes the plans found before, so that the next best ones follow; Puzzle obtains diverse solutions
in the same way.
"""

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from search.strategies.papers.program import ProgramStrategy, Round, Steps, check_independent
from search.strategies.strategy import Task
from spaces.plan import Op, Plan

SCAN_SHARE = 0.5
"""Maximum fraction of the budget for scoring replacements; those that save most are scored first."""
BOUNDS = 8
"""Number of bounds on FLOPs per round: an even grid over the range, shifted by a random offset."""
SECONDS = 2.0
"""Time limit for one integer program, in seconds; the best solution found so far is taken."""
Change = tuple[int, Op]
"""(block, op) of a replacement."""


class Additive(ProgramStrategy):
    """Scores each replacement, then solves one integer program per bound on FLOPs."""

    def __init__(self, task: Task) -> None:
        check_independent("additive", task)
        super().__init__(task)

    def steps(self, rng: np.random.Generator) -> Steps:
        dense = Plan.dense(self.task.space.num_blocks)
        singles = sorted(self.task.space.neighbors(dense), key=self.task.flops_ratio)
        singles = singles[: max(1, int(self.task.budget * SCAN_SHARE))]
        accuracies = yield Round("score", [dense, *singles])
        losses = {_change(plan): accuracies[dense] - accuracies[plan] for plan in singles}
        program = _Program(self.task, losses)
        found = [dense]
        while True:
            bounds = program.low + (program.high - program.low) * (np.arange(BOUNDS) + rng.random()) / BOUNDS
            plans = []
            for bound in bounds[::-1]:
                if plan := program.solve(bound, found):
                    plans.append(plan)
                    found.append(plan)
            if not plans:
                return
            yield Round("additive optimum", plans)


def _change(plan: Plan) -> Change:
    return next((block, op) for block, op in enumerate(plan.ops) if op is not Op.KEEP)


class _Program:
    """Minimize `losses @ x` over one-hot choices x, with FLOPs within a bound. C choices over all blocks."""

    def __init__(self, task: Task, losses: dict[Change, float]) -> None:
        depth = task.space.num_blocks
        dense = Plan.dense(depth)
        scores: dict[Change, float] = {(block, Op.KEEP): 0.0 for block in range(depth)} | losses
        self._changes = list(scores)
        self._losses = np.array(list(scores.values()))
        self._dense_cost = task.flops_ratio(dense)
        self._saved = np.array([self._dense_cost - task.flops_ratio(dense.replace(*change)) for change in scores])
        self._of_block = np.array([[block == own for own, _ in scores] for block in range(depth)], dtype=float)
        self.low = self._dense_cost - float((self._of_block * self._saved).max(1).sum())
        # Other limits are kept by repairing the proposals.
        self.high = min([self._dense_cost, *(limit.bound for limit in task.limits if limit.of_cost)])

    def solve(self, bound: float, excluded: list[Plan]) -> Plan | None:
        """Return the plan with the smallest loss within the bound, other than the excluded ones; None if none exists.

        Args:
            bound: maximum FLOPs, as a ratio to the dense model's.
            excluded: plans that must not be returned.
        """
        depth = len(self._of_block)
        known = np.array([[plan.ops[block] is op for block, op in self._changes] for plan in excluded], dtype=float)
        constraints = [
            LinearConstraint(self._of_block, 1, 1),
            LinearConstraint(self._saved[None], lb=self._dense_cost - bound),
            LinearConstraint(known, ub=depth - 1),
        ]
        result = milp(
            self._losses,
            integrality=np.ones(len(self._losses)),
            bounds=Bounds(0, 1),
            constraints=constraints,
            options={"time_limit": SECONDS},
        )
        if result.x is None:
            return None
        chosen = {self._changes[column] for column in np.flatnonzero(result.x > 0.5)}
        return Plan.of(next(op for of, op in chosen if of == block) for block in range(depth))
