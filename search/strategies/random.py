"""Random search: the baseline every other strategy has to beat."""

from collections.abc import Sequence

import numpy as np

from search.strategies.strategy import Observation, Proposal
from spaces.spaces import Space


class Random:
    """Samples of the space, independent of what was observed."""

    def __init__(self, space: Space, budget: int) -> None:
        self._space = space

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        """A sample of the space."""
        return Proposal(self._space.sample(rng), "random")
