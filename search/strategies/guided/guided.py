"""The default strategy: candidates come from evolution, and a surrogate chooses among them.

1. The dense trial measures the importance of every attention and FFN, the prior of the surrogate (`prior`). If the
   budget is large enough, a sensitivity scan follows: each block changed alone. Later the cheapest plan of the space is
   evaluated, to anchor the low-cost end.
2. A Gaussian process per rung (`surrogate`, `fidelities`) predicts the accuracy of plans from all trials so far.
3. Children of the archive, and children of the best children, are ranked by expected hypervolume improvement
   (`improvement`), where accuracy and reaching the last rung are uncertain and FLOPs are exact. The best child is
   proposed, unless continuing a trial that was stopped at a cheap rung is expected to add more.
4. While the surrogate's proposals do not improve the front, they are limited to plans near it (`trust_region`). If
   that does not help, a growing share of the proposals are children of the
   archive chosen without the surrogate, or plans with pairs of changes rarely tried together (`turns`, `coverage`), and
   the surrogate's standard deviations are widened (`calibration`).

Running trials enter the surrogate with their predicted accuracy, so that parallel workers evaluate different plans.
"""

from collections.abc import Sequence

import numpy as np

from search.strategies.evolution import child_of_archive
from search.strategies.guided.children import children, two_changed
from search.strategies.guided.coverage import rarity
from search.strategies.guided.learning import Learned, Learner
from search.strategies.guided.measured import Reader
from search.strategies.guided.track_record import TrackRecord
from search.strategies.guided.trust_region import radius, within
from search.strategies.guided.turns import Turn, draw_turn, standing
from search.strategies.plan_bits import CODE, Codes, Coding, keys
from search.strategies.scan import change, independent_singles, scan
from search.strategies.strategy import Observation, Proposal, Signal, Task, focus_above_floor
from spaces.plan import Block, Plan
from spaces.product import plan_of

SCAN_SHARE, MAX_SCANNED = 1 / 5, 20
"""Maximum size of the sensitivity scan, as a fraction of the budget and in trials; a larger scan is not run."""
BLIND_SHARE = 0.125
"""Maximum size of the scan, as a fraction of the budget, if importance can't be measured; a larger one is shortened."""
CHEAPEST_FROM, CHEAPEST_PER_BIT = 25, 2
"""Evaluate the cheapest plan after max(25, 2 * num_bits) trials, to anchor the low-cost end."""
MIN_POOL, POOL, MAX_BITS = 100, 300, 48_000
"""Children per generation: `MAX_BITS` over the bits of a plan, bounded to 100 .. 300. Ranking takes time in proportion
to children times bits."""
GENERATIONS, MAX_GENERATIONS, GENERATIONS_TIMES_TRIALS = 3, 10, 750
"""Generations of children per proposal: `GENERATIONS_TIMES_TRIALS` over the number of trials, bounded to 3 .. 10. With
few trials a prediction is cheap, so that more plans can be ranked."""
PARENTS = 24
"""Number of the best children that become parents of the next generation."""
MIN_RESUMED_GAIN = 0.01
"""Minimum expected hypervolume improvement for continuing a stopped trial, in units of accuracy times the FLOPs of one
block."""
MAX_CHECKED = 50
"""Number of children checked against the limits; if none keeps them, the best child is returned for repair."""


class Guided:
    """Proposes the evolved child with the highest expected hypervolume improvement."""

    reads = frozenset(Signal)
    pattern_share, most_patterns = 0.15, 3
    """Hand-made patterns before its first proposal: a fraction of the budget and a maximum number."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._coding = Coding(task.space)
        self._dense_cost = task.flops_ratio(Plan.dense(task.space.num_blocks))
        self._prices = _prices(task, self._coding, self._dense_cost)
        singles = independent_singles(task.space, self._coding, self._saves)
        if len(singles) > min(MAX_SCANNED, task.budget * SCAN_SHARE):
            singles = []
        self._scan = self._by_key(singles)
        blind = [plan for plan in scan(task.space, int(task.budget * BLIND_SHARE)) if self._saves(plan)]
        self._blind_scan = self._scan or self._by_key(blind)
        self._pool = max(MIN_POOL, min(POOL, MAX_BITS // self._coding.num_bits))
        cheapest = self._prices.argmax(1).astype(CODE)
        self._cheapest = self._coding.decode(cheapest), keys(cheapest[None])[0]
        self._worth = MIN_RESUMED_GAIN * float(self._prices.max(1).mean())
        self._cheapest_from = max(CHEAPEST_FROM, CHEAPEST_PER_BIT * self._coding.num_bits)
        self._reader = Reader(task, self._coding)
        self._learner = Learner(task, self._coding, self._reader)

    @property
    def start(self) -> tuple[Plan, ...]:
        """Return the plans of both scans, the only part that depends on the budget."""
        return (*self._scan.values(), *self._blind_scan.values())

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        """Return the next plan of the scan; after the scan, the proposal of the surrogate, or of another turn."""
        tried = set(keys(self._reader.codes(history)))
        if (anyway := self._anyway(tried, history)) is not None:
            plan, origin = anyway
            return Proposal(plan, origin, probe=not self._task.feasible(plan))
        focus = focus_above_floor(self._task.focus, history)
        now = standing(history, focus)
        if (other := self._without_surrogate(draw_turn(now.others, rng), history, tried, rng)) is not None:
            return other
        learned = self._learner.learn(history, caution=now.idle)
        if learned is None:
            return Proposal(self._task.space.sample(rng), "random")
        record = TrackRecord(history, focus)
        child, gain = self._best_child(learned, record, tried, radius(now.gainless), rng)
        return self._resumed(learned, at_least=max(gain, self._worth)) or child

    def _without_surrogate(
        self, turn: Turn, history: Sequence[Observation], tried: set[bytes], rng: np.random.Generator
    ) -> Proposal | None:
        """Return the proposal of a turn that is not the surrogate's; None if it is, or if no new plan is found."""
        if turn is Turn.SURROGATE:
            return None
        space = self._task.space
        if turn is Turn.EVOLUTION:
            child = child_of_archive(space, self._task.focus, history, rng)
            return Proposal(child.plan, f"{turn}: {child.origin}")
        pool = _fresh(self._children(self._learner.archive(history), rng), set(tried))
        if not len(pool):
            return None
        rare = rarity(self._coding.bits(pool), self._reader.bits(history))
        return Proposal(self._coding.decode(pool[int(rare.argmax())]), f"{turn}: pairs rarely skipped together")

    def _singles(self, history: Sequence[Observation]) -> dict[bytes, Plan]:
        """Return the plans of the scan; a longer scan is used if the dense trial could not measure importance."""
        blind = any(trial.plan.is_dense and trial.accuracies and trial.importance is None for trial in history)
        return self._blind_scan if blind else self._scan

    def _anyway(self, tried: set[bytes], history: Sequence[Observation]) -> tuple[Plan, str] | None:
        """Return (plan, origin) of the next plan of the scan, or the cheapest plan if it is due; else None."""
        for key, plan in self._singles(history).items():
            if key not in tried:
                return plan, f"scan {change(plan)}"
        plan, key = self._cheapest
        due = len(history) >= self._cheapest_from and key not in tried and plan in self._task.space
        return (plan, "the cheapest plan") if due else None

    def _resumed(self, learned: Learned, at_least: float) -> Proposal | None:
        """Return a proposal that continues the stopped trial with the highest expected gain, if above `at_least`."""
        gains = learned.gains_if_continued(learned.stopped)
        if not len(gains) or gains.max() <= at_least:
            return None
        best = int(gains.argmax())
        number = int(learned.stopped.numbers[best])
        plan = self._coding.decode(learned.stopped.codes[best])
        return Proposal(plan, f"goes on with {number}, expected to add {gains[best]:.5f}", resumes=number)

    def _by_key(self, plans: Sequence[Plan]) -> dict[bytes, Plan]:
        return dict(zip(keys(self._coding.encode(plans)), plans, strict=True))

    def _saves(self, plan: Plan) -> bool:
        """Return True if a plan has fewer FLOPs than the dense plan; running blocks in parallel saves none."""
        return bool(self.costs(self._coding.encode([plan]))[0] < self._dense_cost)

    def _best_child(
        self,
        learned: Learned,
        record: TrackRecord,
        tried: set[bytes],
        blocks: int | None,
        rng: np.random.Generator,
    ) -> tuple[Proposal, float]:
        """Return the untried child with the highest corrected gain within `trust_region.radius`, and its gain."""
        parents, looked_at = learned.archive, set(tried)
        found: list[tuple[Codes, np.ndarray, np.ndarray]] = []
        for _ in range(_generations(len(tried))):
            pool = _fresh(within(self._children(parents, rng), learned.best, blocks), looked_at)
            if not len(pool):
                break
            costs = self.costs(pool)
            gains = learned.gains(self._coding.bits(pool), costs)
            corrected = gains * record.factor(costs)
            found.append((pool, gains, corrected))
            parents = np.concatenate([pool[np.argsort(-corrected)[:PARENTS]], learned.archive])
        if not found and blocks is not None:  # the whole region was tried
            return self._best_child(learned, record, tried, None, rng)
        if not found:
            return Proposal(self._task.space.sample(rng), "random"), 0.0
        codes, gains, corrected = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(-corrected)[:MAX_CHECKED]
        plans = map(self._coding.decode, codes[order])
        feasible = (plan for plan in plans if self._task.feasible(plan))
        gain = float(gains[order[0]])
        plan = next(feasible, None) or self._coding.decode(codes[order[0]])
        return Proposal(plan, f"expected to add {gain:.5f}"), gain

    def _children(self, parents: Codes, rng: np.random.Generator) -> Codes:
        """Return the codes of children whose changes all save FLOPs, duplicates included."""
        pool = children(self._task.space, self._coding, parents, self._pool, rng)
        if not self._task.is_additive:
            pool = np.concatenate([pool, two_changed(self._task.space, self._coding, parents, self._pool, rng)])
        return self._undo_idle(pool)

    def _undo_idle(self, codes: Codes) -> Codes:
        """Return codes without the changes that save no FLOPs, which could improve a plan by chance only."""
        if not self._task.is_additive:
            plans = map(self._coding.decode, codes)
            saving = ((plan, self._task.runs_as(plan)) for plan in plans)
            return self._coding.encode([other if other in self._task.space else plan for plan, other in saving])
        return np.where(self._prices[np.arange(codes.shape[1]), codes] > 0, codes, 0).astype(codes.dtype)

    def costs(self, codes: Codes) -> np.ndarray:
        """Return the (N,) FLOPs ratios of plans given as (N, L) codes.

        Where savings of single blocks add up, they are, which is faster than `Task.flops_ratio` per plan.
        """
        if not self._task.is_additive:
            return np.array([self._task.flops_ratio(self._coding.decode(code)) for code in codes])
        costs: np.ndarray = self._dense_cost - self._prices[np.arange(codes.shape[1]), codes].sum(1)
        return costs


def _generations(num_tried: int) -> int:
    """Return the number of generations of children per proposal after `num_tried` trials."""
    return min(MAX_GENERATIONS, max(GENERATIONS, GENERATIONS_TIMES_TRIALS // num_tried))


def _prices(task: Task, coding: Coding, dense_cost: float) -> np.ndarray:
    """Return (L, choices) fractions of the dense FLOPs that each change saves alone."""
    dense = [Block()] * task.space.num_blocks
    prices = np.zeros((len(coding.choices), coding.counts.max()))
    for block, levels in enumerate(coding.choices):
        for place, level in enumerate(levels):
            changed = plan_of([*dense[:block], level, *dense[block + 1 :]])
            prices[block, place] = dense_cost - task.flops_ratio(changed)
    return prices


def _fresh(pool: Codes, looked_at: set[bytes]) -> Codes:
    """Return the rows whose keys are not in `looked_at`, without duplicates, and add their keys to it."""
    fresh = []
    for row, key in enumerate(keys(pool)):
        if key not in looked_at:
            looked_at.add(key)
            fresh.append(row)
    return pool[fresh]
