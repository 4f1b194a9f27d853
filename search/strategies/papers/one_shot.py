"""One-shot ranking, after ShortGPT (Men et al. 2024, arXiv 2403.03853) and ShortV (arXiv 2504.00502).

Each block (or sub-layer) is scored once; then the k least important ones are left out together, for each k. The papers
score a block by how little it changes its input. Here the score is the accuracy lost if it alone is left out, measured
by a trial.
"""

from functools import partial
from itertools import accumulate

import numpy as np

from search.strategies.papers.program import ProgramStrategy, Round, Steps
from search.strategies.papers.sublayers import join, steps_down
from spaces.plan import Plan


class OneShot(ProgramStrategy):
    """Ranks the blocks or sub-layers once, then proposes the k least important ones for each k."""

    def steps(self, rng: np.random.Generator) -> Steps:
        singles = steps_down(self.task.space, Plan.dense(self.task.space.num_blocks))
        accuracies = yield Round("score", singles)
        ranked = sorted(singles, key=accuracies.__getitem__, reverse=True)
        yield Round("ranking cut", list(accumulate(ranked, partial(join, self.task.space))))
