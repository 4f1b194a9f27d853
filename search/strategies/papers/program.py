"""Algorithms written as programs that evaluate plans, behind a seam that asks for one plan at a time.

A program yields rounds of plans and is sent their accuracies. Nothing of its state is stored: started again with
the same results it takes the same way, so a search can be taken up by anybody.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.strategies.strategy import Observation, Proposal, Task
from spaces.block import SINGLE_BLOCKS
from spaces.plan import Plan
from spaces.product import ProductSpace


@dataclass(frozen=True)
class Round:
    """Plans to evaluate before the program can go on."""

    origin: str
    plans: Sequence[Plan]


Accuracies = Mapping[Plan, float]
"""Accuracy of every plan of a round at the cheapest rung, the only one every trial reaches; 0 where it failed."""

Steps = Generator[Round, Accuracies, None]


class ProgramStrategy:
    """Runs `steps` on the results so far, up to the first plan that is not known yet."""

    def __init__(self, task: Task) -> None:
        check_all_tokens(task)
        self.task = task
        self._steps: Steps | None = None
        self._round: Round | None = None

    def steps(self, rng: np.random.Generator) -> Steps:
        """Run the program. It may draw from `rng`, which starts from the search's seed."""
        raise NotImplementedError

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        """Return the next plan of the program, a random one while a round is awaited and after its end."""
        known = {observation.plan: observation for observation in history}
        if self._steps is None:
            self._steps = self.steps(np.random.default_rng([self.task.seed, 0]))
            self._round = next(self._steps, None)
        while self._round is not None:
            plans = [plan for plan in self._round.plans if plan in self.task.space]
            fresh = [plan for plan in plans if plan not in known]
            if fresh:
                return Proposal(fresh[0], self._round.origin, probe=not self.task.feasible(fresh[0]))
            if any(known[plan].state == "running" for plan in plans):
                return Proposal(self.task.space.sample(rng), "random (a round is awaited)")
            self._round = self._sent({plan: _accuracy(known[plan]) for plan in plans})
        return Proposal(self.task.space.sample(rng), "random (at the end)")

    def _sent(self, accuracies: Accuracies) -> Round | None:
        assert self._steps is not None
        try:
            return self._steps.send(accuracies)
        except StopIteration:
            return None


def check_all_tokens(task: Task) -> None:
    """Raise ValueError for a space with scopes, pairs or pruning, which the papers' algorithms know nothing of."""
    levels = {level for block in range(task.space.num_blocks) for level in task.space.choices(block)}
    if any(level != SINGLE_BLOCKS.get(level.op) for level in levels):
        raise ValueError(
            f"this strategy must have a space of ops for all tokens, unpruned, got '{task.space.name}': "
            "use --space layers, or --strategy guided, evolution, tpe, nsga2, gp or random"
        )


def check_independent(strategy: str, task: Task) -> None:
    """Raise ValueError for a space whose blocks can't be chosen one by one."""
    if not isinstance(task.space, ProductSpace):
        raise ValueError(
            f"strategy '{strategy}' must have a space whose blocks are chosen independently, got '{task.space.name}': "
            "use --space blocks or layers, or another strategy"
        )


def _accuracy(observation: Observation) -> float:
    return observation.accuracies[0] if observation.accuracies else 0.0
