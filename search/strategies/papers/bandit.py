"""A bandit over operators, after DAS (Wu et al. 2023) and EAS (arXiv 2403.15226).

Each block (or sub-layer) is an arm. A trial pulls several arms at once: its plan leaves out all of them. The value of
an arm is the mean accuracy of the trials that pulled it, relative to other trials of the same size, plus a bonus for
arms that were pulled rarely (UCB1). The papers learn the values while the model trains, for one size. Here the size is
drawn uniformly, to cover the whole front.
"""

import math
from collections.abc import Sequence
from functools import lru_cache, partial, reduce

import numpy as np

from search.strategies.below_floor import DRAWS, BelowFloor
from search.strategies.papers.program import check_all_tokens
from search.strategies.papers.sublayers import join, num_out, steps_down
from search.strategies.strategy import Observation, Proposal, Task
from spaces.plan import Plan

BONUS = 0.2
"""Weight of the UCB bonus, in units of accuracy."""
NOISE = 0.02
"""Standard deviation of the noise added to each bound, in units of accuracy, so that ties are broken at random."""


class Bandit:
    """Leaves out the arms with the highest upper confidence bounds."""

    def __init__(self, task: Task) -> None:
        check_all_tokens(task)
        self._task = task
        self._dense = Plan.dense(task.space.num_blocks)
        self._arms = steps_down(task.space, self._dense)
        self._members = np.array([_out(arm) for arm in self._arms], dtype=int)
        """(arms, 2 * blocks), 1 where an arm leaves out a sub-layer."""

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        """Return the plan that leaves out the best arms; their number is drawn uniformly."""
        measured, hopeless = [o for o in history if o.accuracies], BelowFloor(history, self._task.focus)
        for _ in range(DRAWS):
            proposal = self._draw(measured, rng)
            if not hopeless.holds(proposal.plan):
                break
        return proposal

    def _draw(self, measured: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        count = int(rng.integers(1, len(self._arms) + 1))
        bounds = self._bounds(measured) + NOISE * rng.standard_normal(len(self._arms))
        chosen = [self._arms[arm] for arm in np.argsort(-bounds)[:count]]
        plan = reduce(partial(join, self._task.space), chosen, self._dense)
        if plan not in self._task.space:
            plan = self._task.space.sample(rng)
        return Proposal(plan, f"{count} arms")

    def _bounds(self, measured: Sequence[Observation]) -> np.ndarray:
        """Return the (arms,) upper confidence bounds."""
        if not measured:
            return np.zeros(len(self._arms))
        sizes = np.array([num_out(o.plan) for o in measured])
        accuracies = np.array([o.accuracies[0] for o in measured])
        expected = np.array([np.average(accuracies, weights=np.exp(-np.abs(sizes - size))) for size in sizes])
        out = np.array([_out(o.plan) for o in measured], dtype=int)
        pulled = out @ self._members.T == self._members.sum(1)
        pulls = pulled.sum(0)
        worth = (accuracies - expected) @ pulled / np.maximum(pulls, 1)
        bounds: np.ndarray = worth + BONUS * np.sqrt(math.log(len(measured) + 1) / (pulls + 1))
        return bounds


@lru_cache(maxsize=65536)
def _out(plan: Plan) -> tuple[int, ...]:
    """Return, per block, True if its attention is left out; then the same for its FFN: (2 * blocks,)."""
    return (*(not op.runs_attention for op in plan.ops), *(not op.runs_ffn for op in plan.ops))
