"""Decides which plan is tried next: baselines and warm starts first, then the proposals of the strategy.

No plan is tried twice. This module uses no database and runs no model, so that a search and a replay of recorded
results follow the same rules.
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import Protocol

import numpy as np

from search.strategies import num_patterns
from search.strategies.strategy import Observation, Proposal, Strategy, Task
from spaces.constraints import repair
from spaces.patterns import baselines
from spaces.plan import Plan

PATIENCE = 50
"""Number of successive proposals rejected (tried before, infeasible) after which random samples are drawn instead, and
number of random samples after which the space is enumerated."""
SMALL = 100_000
"""Maximum size of a space, in plans, that is enumerated."""


class Tried(Protocol):
    """All trials so far; implemented by `search.loop.history.History`."""

    def __len__(self) -> int: ...

    def __contains__(self, plan: Plan) -> bool: ...

    def observations(self) -> Sequence[Observation]: ...


class Proposer:
    """Turns the proposals of a strategy into trials: new plans that keep the limits."""

    def __init__(self, strategy: Strategy, task: Task) -> None:
        self._strategy, self._task = strategy, task
        self._baselines = pick_baselines(task, num_patterns(strategy, task.budget))

    @property
    def beginning(self) -> Hashable:
        """Return the part of the search that depends on the budget: the baselines and the strategy's first plans.

        If it is equal for two budgets, both searches propose the same plans up to the smaller budget. None if the
        strategy has no attribute `start`, so that its dependence on the budget is unknown.
        """
        start: Sequence[Plan] | None = getattr(self._strategy, "start", None)
        return None if start is None else (tuple(self._baselines), tuple(start))

    def baselines_left(self, history: Tried) -> int:
        """Return the number of baselines that have not been tried."""
        return sum(proposal.plan not in history for proposal in self._baselines)

    def next(self, history: Tried) -> Proposal | None:
        """Return the next untried plan within the limits, or a stopped trial to continue; None if there is neither."""
        for proposal in self._baselines:
            if proposal.plan not in history:
                return proposal
        number, observations = len(history), history.observations()
        for attempt in range(2 * PATIENCE):
            rng = np.random.default_rng([self._task.seed, number, attempt])
            if attempt < PATIENCE:
                proposal = self._strategy.ask(observations, rng)
            else:
                proposal = Proposal(self._task.space.sample(rng), "random (nothing new proposed)")
            if proposal.resumes is not None:
                return proposal
            if (kept := self._keep_limits(proposal, rng)) and kept.plan not in history:
                return kept
        plan = next((plan for plan in self._small_space() if plan not in history), None)
        return None if plan is None else Proposal(plan, "enumeration")

    def _keep_limits(self, proposal: Proposal, rng: np.random.Generator) -> Proposal | None:
        """Return the proposal, repaired if it exceeds a limit; None if it can't be repaired.

        A probe is not repaired, since it never enters the front.
        """
        if proposal.probe or self._task.feasible(proposal.plan):
            return proposal
        plan = repair(proposal.plan, self._task.space, self._task.limits, rng)
        return None if plan is None else Proposal(plan, f"{proposal.origin}, repaired", proposal.probe)

    def _small_space(self) -> Iterator[Plan]:
        """Return all plans that keep the limits if the space is small, else nothing."""
        if self._task.space.size > SMALL:
            return iter(())
        return (plan for plan in self._task.space.enumerate() if self._task.feasible(plan))


def pick_baselines(task: Task, most: int) -> list[Proposal]:
    """Return the first proposals: the dense plan, the warm starts, then hand-made patterns.

    Args:
        task: the space, limits and warm starts.
        most: maximum number of patterns, the dense plan included. If there are more, those returned are spread evenly
            over their FLOPs.
    """
    dense, *others = [
        Proposal(plan, f"baseline {name}")
        for name, plan in baselines(task.space).items()
        if plan.is_dense or (task.feasible(plan) and task.focus.spans(task.flops_ratio(plan)))
    ]
    room = max(0, most - 1)
    if len(others) > room:
        others.sort(key=lambda proposal: task.flops_ratio(proposal.plan))
        step = len(others) / room if room else 0
        others = [others[int(index * step)] for index in range(room)]
    return [dense, *(Proposal(plan, origin) for origin, plan in task.first), *others]
