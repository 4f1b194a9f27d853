"""Random search, the baseline for all other strategies."""

from collections.abc import Sequence

import numpy as np

from search.strategies.strategy import Observation, Proposal, Task


class Random:
    """Proposes independent random samples of the space."""

    def __init__(self, task: Task) -> None:
        self._space = task.space

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        """Return a random plan of the space."""
        return Proposal(self._space.sample(rng), "random")
