"""Evolution without a surrogate: a sensitivity scan, plans derived from it, then children of the Pareto archive.

The operators follow EvoPress (Sieberling et al. 2024, arXiv 2410.14649). Level-switch mutation moves the change of one
block to another block, so that the number of changed blocks stays the same. Crossover mixes the blocks of two members
of the archive. The trials of the scan count against the budget.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from objectives.dominance import crowding, non_dominated
from objectives.objectives import MAXIMIZE
from search.strategies.scan import change, changed, scan
from search.strategies.strategy import Focus, Observation, Proposal, Task, focus_above_floor
from spaces.plan import Block, Op, Plan, Scope
from spaces.spaces import Space

SCAN_SHARE, ADDITIVE_SHARE = 0.3, 0.1
"""Maximum fraction of the budget for the scan, and for the plans derived from its result."""
CROSSOVER_RATE = 0.4
"""Probability that a child has two parents instead of one."""
MAX_MUTATIONS = 3
"""Maximum number of mutations per child; drawn uniformly from 1 to this."""


class Evolution:
    """Evolves the archive of non-dominated plans, after a sensitivity scan."""

    def __init__(self, task: Task) -> None:
        self._space, self._focus = task.space, task.focus
        self._scan = scan(task.space, int(task.budget * SCAN_SHARE))
        self._num_additive = int(task.budget * ADDITIVE_SHARE)
        self._additive: list[Plan] | None = None

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        """Return the next plan of the scan; after the scan an additive plan; after these a child of the archive."""
        tried = {observation.plan for observation in history}
        for plan in self._scan:
            if plan not in tried:
                return Proposal(plan, f"scan {change(plan)}", probe=True)
        if self._additive is None and not any(o.state == "running" and o.plan in self._scan for o in history):
            self._additive = self._additive_plans(history)
        for plan in self._additive or ():
            if plan not in tried:
                return Proposal(plan, f"additive {plan.num_changed} changes")
        return child_of_archive(self._space, self._focus, history, rng)

    def _additive_plans(self, history: Sequence[Observation]) -> list[Plan]:
        """Return the best plans under the assumption that the losses of the scan add up, spread over the FLOPs."""
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


def child_of_archive(space: Space, focus: Focus, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
    """Return a child of the non-dominated trials, by crossover and mutation; a random plan if nothing is measured.

    Args:
        space: the space to search.
        focus: parents are taken from this part of the front, if it has any.
        history: all trials so far.
        rng: source of all random choices.
    """
    archive = _archive(history, focus_above_floor(focus, history))
    if not archive:
        return Proposal(space.sample(rng), "random")
    parent = _select(archive, rng)
    child, origin = parent.plan, f"mutation of {parent.number}"
    if len(archive) > 1 and rng.random() < CROSSOVER_RATE:
        others = [member for member in archive if member is not parent]
        other = others[rng.integers(len(others))]
        child = space.crossover(child, other.plan, rng)
        origin = f"crossover of {parent.number} and {other.number}"
        if child not in (parent.plan, other.plan) and rng.random() < 0.5:
            return Proposal(child, origin)
    for _ in range(rng.integers(1, MAX_MUTATIONS + 1)):
        child = space.mutate(child, rng)
    return Proposal(child, origin)


Prices = list[dict[Block, tuple[float, float]]]
"""Per block, and per level of it: (accuracy lost, fraction of FLOPs saved) by this change alone."""


def _prices(space: Space, scanned: Mapping[Plan, Observation]) -> Prices | None:
    """Return what the scan measured at the cheapest rung, or None while the dense plan is not measured.

    The loss of skipping a whole block, if not scanned, is taken as the sum of the losses of its two sub-layers.
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
                sublayers = zip(known[attention], known[ffn], strict=True)
                known.setdefault(whole, tuple(map(sum, sublayers)))  # type: ignore[arg-type]
    return prices


def _cheapest(prices: Prices, exchange: float) -> Plan:
    """Return the plan with the smallest `accuracy lost - exchange * FLOPs saved`."""
    return Plan.of(min(known, key=lambda level: known[level][0] - exchange * known[level][1]) for known in prices)


def _archive(history: Sequence[Observation], focus: Focus) -> list[Observation]:
    """Return the non-dominated trials, restricted to the focus if any lies in it.

    With four full trials or more, only full trials are considered.
    """
    measured = [o for o in history if o.point is not None]
    full = [o for o in measured if o.full]
    pool = full if len(full) >= 4 else measured
    if not pool:
        return []
    mask = non_dominated(np.asarray([o.point for o in pool], dtype=float), MAXIMIZE)
    front = [o for o, on_front in zip(pool, mask, strict=True) if on_front]
    return [o for o in front if focus.holds(o)] or front


def _select(archive: Sequence[Observation], rng: np.random.Generator) -> Observation:
    """Return the winner of a binary tournament on crowding distance, which prefers gaps of the front."""
    spread = crowding([o.point for o in archive if o.point is not None])
    first, second = rng.integers(len(archive), size=2)
    selected: Observation = archive[first if spread[first] >= spread[second] else second]
    return selected
