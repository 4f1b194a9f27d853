"""Evolution whose children are chosen by a surrogate: the best of all on tables of one fidelity.

1. A sensitivity scan: every block changed alone, whole blocks first, counted in the budget.
2. A Gaussian process on plans (`surrogate`) learns from everything measured so far, from the scan on.
3. Children of the archive, and children of the most promising children, are ranked by the hypervolume they can be
   expected to add (`improvement`), accuracy in doubt, FLOPs exact. The best one is asked for.

Trials that are running count with the accuracy that is expected of them, so parallel workers spread out.
"""

from collections.abc import Sequence

import numpy as np

from search.strategies.children import children
from search.strategies.coding import Codes, Coding
from search.strategies.improvement import expected_improvement
from search.strategies.learning import Learned, Learner
from search.strategies.scan import change, scan
from search.strategies.strategy import Observation, Proposal, Task
from spaces.plan import Block
from spaces.product import plan_of

SCAN_SHARE = 0.5
"""At most this share of the budget goes into the scan."""
POOL = 300
"""Children in a generation."""
GENERATIONS = 3
PARENTS = 24
"""Most promising children that the next generation descends from."""
MOST_CHECKED = 50
"""Children checked against the limits before one is left to be repaired."""


class Guided:
    """Expected hypervolume improvement over evolved children."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._coding = Coding(task.space)
        singles = scan(task.space, int(task.budget * SCAN_SHARE))
        self._scan = {code.tobytes(): plan for code, plan in zip(self._coding.encode(singles), singles, strict=True)}
        self._prices = _prices(task, self._coding)
        self._learner = Learner(task, self._coding)

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        """The scan first, then the child that is expected to add most."""
        tried = {code.tobytes() for code in self._learner.codes(history)}
        for key, plan in self._scan.items():
            if key not in tried:
                return Proposal(plan, f"scan {change(plan)}", probe=not self._task.feasible(plan))
        learned = self._learner.learn(history)
        if learned is None:
            return Proposal(self._task.space.sample(rng), "random")
        return self._best_child(learned, tried, rng)

    def _best_child(self, learned: Learned, tried: set[bytes], rng: np.random.Generator) -> Proposal:
        parents, looked_at = learned.archive, set(tried)
        found: list[tuple[Codes, np.ndarray]] = []
        for _ in range(GENERATIONS):
            pool = children(self._task.space, self._coding, parents, POOL, rng)
            pool = _fresh(pool, looked_at)
            if not len(pool):
                break
            mean, deviation = learned.surrogate.predict(self._coding.bits(pool))
            gains = expected_improvement(learned.front, self._costs(pool), mean, deviation)
            found.append((pool, gains))
            parents = np.concatenate([pool[np.argsort(-gains)[:PARENTS]], learned.archive])
        if not found:
            return Proposal(self._task.space.sample(rng), "random")
        codes, gains = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(-gains)[:MOST_CHECKED]
        plans = [self._coding.decode(code) for code in codes[order]]
        feasible = (plan for plan in plans if self._task.feasible(plan))
        return Proposal(next(feasible, plans[0]), f"expected to add {gains[order[0]]:.5f}")

    def _costs(self, codes: Codes) -> np.ndarray:
        """(N,) FLOPs ratios, as the sum of what every change saves alone."""
        return 1.0 - self._prices[np.arange(codes.shape[1]), codes].sum(1)


def _prices(task: Task, coding: Coding) -> np.ndarray:
    """(L, choices) share of the dense FLOPs that every change saves alone."""
    dense = [Block()] * task.space.num_blocks
    prices = np.zeros((len(coding.choices), coding.counts.max()))
    for block, levels in enumerate(coding.choices):
        for place, level in enumerate(levels):
            changed = plan_of([*dense[:block], level, *dense[block + 1 :]])
            prices[block, place] = 1.0 - task.flops_ratio(changed)
    return prices


def _fresh(pool: Codes, looked_at: set[bytes]) -> Codes:
    """Rows not looked at before, each once; they are added to `looked_at`."""
    fresh = []
    for row, code in enumerate(pool):
        key = code.tobytes()
        if key not in looked_at:
            looked_at.add(key)
            fresh.append(row)
    return pool[fresh]
