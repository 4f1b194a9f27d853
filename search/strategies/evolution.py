"""Evolution without a surrogate: a sensitivity scan, plans built from it, then children of the Pareto archive.

Operators after EvoPress (Sieberling et al. 2024, arXiv 2410.14649): level-switch mutation keeps the number of
changed blocks and moves one; crossover takes blocks of two members of the archive. Everything spent on the scan
counts against the budget.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from objectives.dominance import crowding, non_dominated
from objectives.objectives import MAXIMIZE
from search.strategies.scan import change, changed, scan
from search.strategies.strategy import Focus, Observation, Proposal, Task, focus_above_floor
from spaces.plan import Block, Op, Plan, Scope
from spaces.spaces import Space

#: At most this share of the budget goes into the scan, and into plans built from its result.
SCAN_SHARE, ADDITIVE_SHARE = 0.3, 0.1
CROSSOVER_RATE = 0.4
MAX_MUTATIONS = 3


class Evolution:
    """Warm-started evolution around the archive of non-dominated plans."""

    def __init__(self, task: Task) -> None:
        self._space, self._focus = task.space, task.focus
        self._scan = scan(task.space, int(task.budget * SCAN_SHARE))
        self._num_additive = int(task.budget * ADDITIVE_SHARE)
        self._additive: list[Plan] | None = None

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        """Scan first, then what it suggests, then children of the archive."""
        tried = {observation.plan for observation in history}
        for plan in self._scan:
            if plan not in tried:
                return Proposal(plan, f"scan {change(plan)}", probe=True)
        if self._additive is None and not any(o.state == "running" and o.plan in self._scan for o in history):
            self._additive = self._additive_plans(history)
        for plan in self._additive or ():
            if plan not in tried:
                return Proposal(plan, f"additive {plan.num_changed} changes")
        return self._child(history, rng)

    def _additive_plans(self, history: Sequence[Observation]) -> list[Plan]:
        """Return the plans that would be best if the losses of the scan added up, spread over their FLOPs."""
        scanned = {o.plan: o for o in history if o.accuracies and (o.plan.is_dense or o.plan in self._scan)}
        prices = _prices(self._space, scanned)
        if prices is None or not self._num_additive:
            return []
        found = dict.fromkeys(_cheapest(prices, exchange) for exchange in np.geomspace(1e-3, 1e3, 400))
        plans = [plan for plan in found if plan in self._space and not plan.is_dense]
        if not plans:
            return []
        picks = np.unique(np.linspace(0, len(plans) - 1, self._num_additive).round().astype(int))
        return [plans[pick] for pick in picks]

    def _child(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        archive = _archive(history, focus_above_floor(self._focus, history))
        if not archive:
            return Proposal(self._space.sample(rng), "random")
        parent = _select(archive, rng)
        child, origin = parent.plan, f"mutation of {parent.number}"
        if len(archive) > 1 and rng.random() < CROSSOVER_RATE:
            others = [member for member in archive if member is not parent]
            other = others[rng.integers(len(others))]
            child = self._space.crossover(child, other.plan, rng)
            origin = f"crossover of {parent.number} and {other.number}"
            if child not in (parent.plan, other.plan) and rng.random() < 0.5:
                return Proposal(child, origin)
        for _ in range(rng.integers(1, MAX_MUTATIONS + 1)):
            child = self._space.mutate(child, rng)
        return Proposal(child, origin)


#: Per block and level: the accuracy lost and the share of FLOPs saved by that change alone.
Prices = list[dict[Block, tuple[float, float]]]


def _prices(space: Space, scanned: Mapping[Plan, Observation]) -> Prices | None:
    """Return the losses that the scan measured at the cheapest rung, which every trial has finished.

    A skipped block that was not scanned is taken to cost what its two halves cost.
    """
    dense = scanned.get(Plan.dense(space.num_blocks))
    if dense is None:
        return None
    prices: Prices = [{Block(): (0.0, 0.0)} for _ in range(space.num_blocks)]
    for plan, seen in scanned.items():
        if plan.num_changed == 1:
            index, level = changed(plan)
            prices[index][level] = (dense.accuracies[0] - seen.accuracies[0], dense.flops_ratio - seen.flops_ratio)
    for index, known in enumerate(prices):
        for scope in Scope:
            skip_attention = Op.SKIP_CROSS if Block(Op.SKIP_CROSS, scope) in known else Op.SKIP_ATTN
            whole, attention, ffn = (Block(op, scope) for op in (Op.SKIP_BLOCK, skip_attention, Op.SKIP_FFN))
            if whole in space.choices(index) and {attention, ffn} <= known.keys():
                halves = zip(known[attention], known[ffn], strict=True)
                known.setdefault(whole, tuple(map(sum, halves)))  # type: ignore[arg-type]
    return prices


def _cheapest(prices: Prices, exchange: float) -> Plan:
    """Return the plan that loses least when a unit of FLOPs is worth `exchange` units of accuracy."""
    return Plan.of(min(known, key=lambda level: known[level][0] - exchange * known[level][1]) for known in prices)


def _archive(history: Sequence[Observation], focus: Focus) -> list[Observation]:
    """Return the first front, its members in the focus where there are any; full trials only, once there are a few."""
    measured = [o for o in history if o.point is not None]
    full = [o for o in measured if o.full]
    pool = full if len(full) >= 4 else measured
    if not pool:
        return []
    mask = non_dominated(np.asarray([o.point for o in pool], dtype=float), MAXIMIZE)
    front = [o for o, on_front in zip(pool, mask, strict=True) if on_front]
    return [o for o in front if focus.holds(o)] or front


def _select(archive: Sequence[Observation], rng: np.random.Generator) -> Observation:
    """Binary tournament on crowding distance: gaps of the front are searched more."""
    spread = crowding([o.point for o in archive if o.point is not None])
    first, second = rng.integers(len(archive), size=2)
    selected: Observation = archive[first if spread[first] >= spread[second] else second]
    return selected
