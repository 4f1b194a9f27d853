"""Strategies written as generators that evaluate rounds of plans, adapted to `Strategy.ask`, which returns one plan.

A generator yields rounds of plans and receives their accuracies. None of its state is stored: started again with the
same results it yields the same rounds, so that any process can resume the search.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.strategies.below_floor import BelowFloor
from search.strategies.strategy import Observation, Proposal, Task
from spaces.block import SINGLE_BLOCKS
from spaces.plan import Plan
from spaces.product import ProductSpace


@dataclass(frozen=True)
class Round:
    """Plans that must be evaluated before the program continues."""

    origin: str
    """Origin of the proposals of this round."""
    plans: Sequence[Plan]


Accuracies = Mapping[Plan, float]
"""Accuracy of each plan of a round at the cheapest rung, which every trial reaches. It is 0 for failed trials and for
plans that were not run (`BelowFloor`)."""

Steps = Generator[Round, Accuracies, None]
"""A program: yields rounds and receives their accuracies."""


class ProgramStrategy:
    """Runs the program `steps` on the results so far, up to the first plan without a result."""

    def __init__(self, task: Task) -> None:
        check_all_tokens(task)
        self.task = task
        self._steps: Steps | None = None
        self._round: Round | None = None

    def steps(self, rng: np.random.Generator) -> Steps:
        """Yield rounds of plans; receive the accuracies of each round as the value of `yield`.

        Args:
            rng: seeded with the seed of the search only, so that a restarted program repeats its draws.
        """
        raise NotImplementedError

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        """Return the next plan of the program; a random plan while results are outstanding and after its end."""
        known = {observation.plan: observation for observation in history}
        hopeless = BelowFloor(history, self.task.focus)
        if self._steps is None:
            self._steps = self.steps(np.random.default_rng([self.task.seed, 0]))
            self._round = next(self._steps, None)
        while self._round is not None:
            plans = [plan for plan in self._round.plans if plan in self.task.space]
            fresh = [plan for plan in plans if plan not in known and not hopeless.holds(plan)]
            if fresh:
                return Proposal(fresh[0], self._round.origin, probe=not self.task.feasible(fresh[0]))
            if any(known[plan].state == "running" for plan in plans if plan in known):
                return Proposal(hopeless.sample(self.task.space, rng), "random (a round is awaited)")
            self._round = self._sent({plan: _accuracy(known.get(plan)) for plan in plans})
        return Proposal(hopeless.sample(self.task.space, rng), "random (at the end)")

    def _sent(self, accuracies: Accuracies) -> Round | None:
        assert self._steps is not None
        try:
            return self._steps.send(accuracies)
        except StopIteration:
            return None


def check_all_tokens(task: Task) -> None:
    """Raise ValueError if a space has scopes, pairs or pruning, which the papers' algorithms do not support."""
    levels = {level for block in range(task.space.num_blocks) for level in task.space.choices(block)}
    if any(level != SINGLE_BLOCKS.get(level.op) for level in levels):
        raise ValueError(
            "this strategy needs a space without scopes, pairs and pruning, "
            f"got '{task.space.name}': use --space layers, or --strategy guided, evolution, tpe, nsga2, gp or random"
        )


def check_independent(strategy: str, task: Task) -> None:
    """Raise ValueError if the blocks of the space are not chosen independently of each other."""
    if not isinstance(task.space, ProductSpace):
        raise ValueError(
            f"strategy '{strategy}' needs a space whose blocks are chosen independently, got '{task.space.name}': "
            "use --space blocks or layers, or another strategy"
        )


def _accuracy(observation: Observation | None) -> float:
    return observation.accuracies[0] if observation is not None and observation.accuracies else 0.0
