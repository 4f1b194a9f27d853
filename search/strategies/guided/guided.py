"""The default strategy: evolution whose children are chosen by a surrogate.

1. How much every attention and FFN matters is known from the dense trial, which measures what gates on them win
   (`prior`). Where the budget is large enough a sensitivity scan follows: every block changed alone. Later the cheapest
   plan of all is tried, the other end of what is searched.
2. Gaussian processes on plans (`surrogate`), one a rung (`fidelities`), learn from everything measured so far.
3. Children of the archive, and children of the most promising children, are ranked by the hypervolume they can be
   expected to add (`improvement`): accuracy at the last rung and getting there in doubt, FLOPs exact. The best one is
   asked for, unless a trial that was stopped at a cheap rung is expected to add more by going on.

Trials that are running count with the accuracy that is expected of them, so parallel workers spread out.
"""

from collections.abc import Sequence

import numpy as np

from search.strategies.guided.children import children
from search.strategies.guided.learning import Learned, Learner
from search.strategies.guided.measured import Reader
from search.strategies.plan_bits import CODE, Codes, Coding, keys
from search.strategies.scan import change, independent_singles
from search.strategies.strategy import Observation, Proposal, Signal, Task
from spaces.plan import Block, Plan
from spaces.product import plan_of

SCAN_SHARE, MOST_SCANNED = 1 / 5, 20
"""A scan that takes more than this share of the budget, or more trials than this, is left out whole: a part of it was
measured to be worse than none. By one of 24 or 28 plans a search of 200 trials gained nothing in the end, and was far
behind up to the seventieth."""
CHEAPEST_FROM, CHEAPEST_PER_BIT = 25, 2
"""Trials from which on the cheapest plan is asked for, in all and a bit of a plan. How the answers fail there says what
plans near it may still know, which nothing that is learned from dearer plans does. With fewer trials between the two
ends all of those look worth a trial: at 25 trials searches of blocks lost 0.003 of the hypervolume by it, at 50 they
gain 0.002; of halves of blocks, with three times the bits, they lost 0.005 at 50."""
SMALLEST_POOL, POOL, MOST_BITS = 100, 300, 48_000
"""Children in a generation: fewer where a plan has so many bits that all together would have more than that. What is
learned of plans takes time in proportion to both."""
GENERATIONS, MOST_GENERATIONS, LEARNED_FROM = 3, 10, 750
"""Generations of children, as many times as the trials learned from fit into `LEARNED_FROM`, within these bounds: with
few trials an ask is cheap, and what is best by their surrogate is worth a longer search."""
PARENTS = 24
"""Most promising children that the next generation descends from."""
WORTH_RESUMING = 0.01
"""Accuracy that a stopped trial must be expected to add, over the FLOPs of a block, to go on, since that takes nearly
the compute of a full trial: the standard error of an accuracy of 0.95 on 500 questions."""
MOST_CHECKED = 50
"""Children checked against the limits before one is left to be repaired."""


class Guided:
    """Expected hypervolume improvement over evolved children."""

    reads = frozenset(Signal)
    pattern_share, most_patterns = 0.15, 3
    """Knowing the importance of every half it asks for better plans than most patterns from the start. More than three
    were measured to add nothing to searches of tables, and to cost real ones, most of whose patterns are dear and run
    to the end, 0.01 of the hypervolume up to the hundredth trial."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._coding = Coding(task.space)
        self._dense_cost = task.flops_ratio(Plan.dense(task.space.num_blocks))
        self._prices = _prices(task, self._coding, self._dense_cost)
        singles = independent_singles(task.space, self._coding, self._saves)
        if len(singles) > min(MOST_SCANNED, task.budget * SCAN_SHARE):
            singles = []
        self._scan = dict(zip(keys(self._coding.encode(singles)), singles, strict=True))
        self._pool = max(SMALLEST_POOL, min(POOL, MOST_BITS // self._coding.num_bits))
        cheapest = self._prices.argmax(1).astype(CODE)
        self._cheapest = self._coding.decode(cheapest), keys(cheapest[None])[0]
        self._worth = WORTH_RESUMING * float(self._prices.max(1).mean())
        self._cheapest_from = max(CHEAPEST_FROM, CHEAPEST_PER_BIT * self._coding.num_bits)
        self._reader = Reader(task, self._coding)
        self._learner = Learner(task, self._coding, self._reader)

    @property
    def start(self) -> tuple[Plan, ...]:
        """Return the scan, the only part that follows from the budget."""
        return tuple(self._scan.values())

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        """Propose the rest of the scan, then the child with the highest expected gain."""
        tried = set(keys(self._reader.codes(history)))
        if (anyway := self._anyway(tried, len(history))) is not None:
            plan, origin = anyway
            return Proposal(plan, origin, probe=not self._task.feasible(plan))
        learned = self._learner.learn(history)
        if learned is None:
            return Proposal(self._task.space.sample(rng), "random")
        child, gain = self._best_child(learned, tried, rng)
        return self._resumed(learned, at_least=max(gain, self._worth)) or child

    def _anyway(self, tried: set[bytes], num_trials: int) -> tuple[Plan, str] | None:
        """Return a proposal that does not depend on expected gains, and its reason."""
        for key, plan in self._scan.items():
            if key not in tried:
                return plan, f"scan {change(plan)}"
        plan, key = self._cheapest
        due = num_trials >= self._cheapest_from and key not in tried and plan in self._task.space
        return (plan, "the cheapest plan") if due else None

    def _resumed(self, learned: Learned, at_least: float) -> Proposal | None:
        """Return the stopped trial that is expected to add most if it goes on, if that is more than `at_least`."""
        gains = learned.gains_onward(learned.stopped)
        if not len(gains) or gains.max() <= at_least:
            return None
        best = int(gains.argmax())
        number = int(learned.stopped.numbers[best])
        plan = self._coding.decode(learned.stopped.codes[best])
        return Proposal(plan, f"goes on with {number}, expected to add {gains[best]:.5f}", resumes=number)

    def _saves(self, plan: Plan) -> bool:
        """Return True if a plan is cheaper than the dense one, as plans with blocks in parallel are not."""
        return bool(self.costs(self._coding.encode([plan]))[0] < self._dense_cost)

    def _best_child(self, learned: Learned, tried: set[bytes], rng: np.random.Generator) -> tuple[Proposal, float]:
        """Return a new plan and its expected gain."""
        parents, looked_at = learned.archive, set(tried)
        found: list[tuple[Codes, np.ndarray]] = []
        for _ in range(_generations(len(tried))):
            pool = children(self._task.space, self._coding, parents, self._pool, rng)
            pool = _fresh(self._undo_idle(pool), looked_at)
            if not len(pool):
                break
            gains = learned.gains(self._coding.bits(pool), self.costs(pool))
            found.append((pool, gains))
            parents = np.concatenate([pool[np.argsort(-gains)[:PARENTS]], learned.archive])
        if not found:
            return Proposal(self._task.space.sample(rng), "random"), 0.0
        codes, gains = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(-gains)[:MOST_CHECKED]
        plans = map(self._coding.decode, codes[order])
        feasible = (plan for plan in plans if self._task.feasible(plan))
        gain = float(gains[order[0]])
        plan = next(feasible, None) or self._coding.decode(codes[order[0]])
        return Proposal(plan, f"expected to add {gain:.5f}"), gain

    def _undo_idle(self, codes: Codes) -> Codes:
        """Keep the blocks whose change saves nothing: in both objectives such a plan gains by chance at most."""
        return np.where(self._prices[np.arange(codes.shape[1]), codes] > 0, codes, 0).astype(codes.dtype)

    def costs(self, codes: Codes) -> np.ndarray:
        """Return the (N,) FLOPs ratios of plans as (N, blocks) codes: the sum of what every change saves alone."""
        costs: np.ndarray = self._dense_cost - self._prices[np.arange(codes.shape[1]), codes].sum(1)
        return costs


def _generations(num_tried: int) -> int:
    """Return the number of generations of children after so many trials."""
    return min(MOST_GENERATIONS, max(GENERATIONS, LEARNED_FROM // num_tried))


def _prices(task: Task, coding: Coding, dense_cost: float) -> np.ndarray:
    """Return (L, choices) share of the dense FLOPs that every change saves alone."""
    dense = [Block()] * task.space.num_blocks
    prices = np.zeros((len(coding.choices), coding.counts.max()))
    for block, levels in enumerate(coding.choices):
        for place, level in enumerate(levels):
            changed = plan_of([*dense[:block], level, *dense[block + 1 :]])
            prices[block, place] = dense_cost - task.flops_ratio(changed)
    return prices


def _fresh(pool: Codes, looked_at: set[bytes]) -> Codes:
    """Return the rows not looked at before, each once, and add them to `looked_at`."""
    fresh = []
    for row, key in enumerate(keys(pool)):
        if key not in looked_at:
            looked_at.add(key)
            fresh.append(row)
    return pool[fresh]
