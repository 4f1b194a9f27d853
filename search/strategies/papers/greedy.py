"""Greedy backward elimination, after SLEB (arXiv 2402.09025) and BlockPruner (arXiv 2406.10594).

From the dense model, every round tries to leave out each of the blocks that are left (or each sub-layer, where
the space has halves) and keeps the removal that costs least; by accuracy here, by perplexity there. The path
gives a plan for every size, everything tried on the way counts.
"""

import numpy as np

from search.strategies.papers.program import ProgramStrategy, Steps
from search.strategies.papers.program import Round as Try
from search.strategies.papers.sublayers import steps_down
from spaces.plan import Plan


class Greedy(ProgramStrategy):
    """Removes one after another, the least important first."""

    def steps(self, rng: np.random.Generator) -> Steps:
        plan = Plan.dense(self.task.space.num_blocks)
        yield Try("greedy start", [plan])
        while plans := steps_down(self.task.space, plan):
            accuracies = yield Try(f"greedy, {plans[0].num_changed} changed", plans)
            plan = max(plans, key=accuracies.__getitem__)
