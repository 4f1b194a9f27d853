"""Random search: the baseline every other strategy has to beat."""

from collections.abc import Sequence

import numpy as np

from search.strategies.strategy import Observation, Proposal, Task


class Random:
    """Samples of the space, independent of what was observed."""

    def __init__(self, task: Task) -> None:
        self._space = task.space

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        """Return a sample of the space."""
        return Proposal(self._space.sample(rng), "random")
