"""Random search, the baseline for all other strategies."""

from collections.abc import Sequence

import numpy as np

from search.strategies.below_floor import BelowFloor
from search.strategies.strategy import Observation, Proposal, Task


class Random:
    """Proposes independent random samples of the space."""

    def __init__(self, task: Task) -> None:
        self._space, self._focus = task.space, task.focus

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        """Return a random plan of the space."""
        return Proposal(BelowFloor(history, self._focus).sample(self._space, rng), "random")
