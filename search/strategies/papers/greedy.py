"""Greedy backward elimination, after SLEB (arXiv 2402.09025) and BlockPruner (arXiv 2406.10594).

Starting from the dense model, each round tries to leave out every remaining block (or every remaining sub-layer, if the
space has sub-layers) and keeps the removal that loses least. The papers measure perplexity, this strategy accuracy. The
path contains one plan per size; all plans tried on the way may enter the front.
"""

import numpy as np

from search.strategies.papers.program import ProgramStrategy, Steps
from search.strategies.papers.program import Round as Try
from search.strategies.papers.sublayers import steps_down
from spaces.plan import Plan


class Greedy(ProgramStrategy):
    """Removes blocks or sub-layers one by one, the least important first."""

    def steps(self, rng: np.random.Generator) -> Steps:
        plan = Plan.dense(self.task.space.num_blocks)
        yield Try("greedy start", [plan])
        while plans := steps_down(self.task.space, plan):
            accuracies = yield Try(f"greedy, {plans[0].num_changed} changed", plans)
            plan = max(plans, key=accuracies.__getitem__)
            if not accuracies[plan]:
                return  # even the best removal leaves no accuracy
