"""Corrects expected gains by what proposals of similar cost were expected to add before, and added.

Where changes interact, the surrogate may be wrong about one region of the space for many proposals in a row: it expects
much of cheap plans, for example, that all turn out useless. The correction moves the next proposals to other costs.
It applies to trials of one rung; with several, most proposals are stopped, and what they added is not known.
"""

import re
from collections.abc import Sequence

import numpy as np

from search.strategies.guided.prior import Floats
from search.strategies.guided.turns import Turn, gains
from search.strategies.strategy import Focus, Observation

WIDTH = 0.06
"""Standard deviation, in FLOPs ratios, of the weight of a past proposal by the difference of the costs."""
HALF_LIFE = 30
"""Number of later proposals after which the weight of a past proposal is one half."""
PRIOR_TRIALS = 2.0
"""Weight, in proposals, of the assumption that plans add what is expected."""
MAX_RATIO = 3.0
"""Upper bound on the ratio of what a proposal added to what was expected."""
EXPECTED = re.compile(rf"{Turn.SURROGATE} (\d+\.\d+)")
"""Origin of a proposal of the surrogate; a repaired one is another plan than the expected gain belongs to."""


class TrackRecord:
    """The past proposals of the surrogate: their costs, and the ratios of added to expected hypervolume."""

    def __init__(self, history: Sequence[Observation], focus: Focus) -> None:
        trials = [trial for trial in history if trial.accuracies or trial.state != "running"]
        if any(len(trial.accuracies) > 1 for trial in trials):
            trials = []
        added = gains(trials, focus)
        found = [EXPECTED.fullmatch(trial.origin) for trial in trials]
        own = [(trial, gain, each) for trial, gain, each in zip(trials, added, found, strict=True) if each]
        expected = np.array([float(each[1]) for _, _, each in own])
        self._costs = np.array([trial.flops_ratio for trial, _, _ in own])
        self._ratios = np.minimum(np.array([gain for _, gain, _ in own]) / np.maximum(expected, 1e-5), MAX_RATIO)
        self._weights = 0.5 ** (np.arange(len(own))[::-1] / HALF_LIFE)

    def factor(self, costs: Floats) -> Floats:
        """Return the (M,) factors by which the expected gains of plans with (M,) FLOPs ratios are multiplied."""
        near = np.exp(-0.5 * ((costs[:, None] - self._costs) / WIDTH) ** 2) * self._weights
        factor: Floats = (PRIOR_TRIALS + near @ self._ratios) / (PRIOR_TRIALS + near.sum(1))
        return factor
