"""One-shot ranking, after ShortGPT (Men et al. 2024, arXiv 2403.03853) and ShortV (arXiv 2504.00502).

Every block (or sub-layer) gets a score of its own, then the k least important ones are left out together, for
every k. The papers score by how little a block changes its input; here the score is the accuracy lost when it
alone is left out, measured by a trial.
"""

from functools import partial
from itertools import accumulate

import numpy as np

from search.strategies.papers.program import ProgramStrategy, Round, Steps
from search.strategies.papers.sublayers import join, steps_down
from spaces.plan import Plan


class OneShot(ProgramStrategy):
    """Scores once, then cuts the ranking at every place."""

    def steps(self, rng: np.random.Generator) -> Steps:
        singles = steps_down(self.task.space, Plan.dense(self.task.space.num_blocks))
        accuracies = yield Round("score", singles)
        ranked = sorted(singles, key=accuracies.__getitem__, reverse=True)
        yield Round("ranking cut", list(accumulate(ranked, partial(join, self.task.space))))
