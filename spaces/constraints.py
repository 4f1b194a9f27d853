"""Limits on plans, known before anything runs: how far a plan is off, what can be reached, how to repair."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from spaces.plan import Plan
from spaces.spaces import Space

_ENUMERABLE = 5_000
"""Spaces up to this size are searched one plan after another, in a fraction of a second."""

Measure = Callable[[Plan], float]


class UnreachableError(ValueError):
    """No plan of the space keeps a limit. The message is one line for the user."""


@dataclass(frozen=True)
class Limit:
    """A bound that a plan must not exceed, such as a ratio of FLOPs."""

    name: str
    bound: float
    measure: Measure

    def __post_init__(self) -> None:
        if math.isnan(self.bound):
            raise ValueError(
                f"the bound of limit '{self.name}' must be a number, got {self.bound}: give a finite bound"
            )

    def violation(self, plan: Plan) -> float:
        """How far the plan is above the bound; at most 0 means that the limit is kept."""
        return self.measure(plan) - self.bound


def is_feasible(plan: Plan, limits: Sequence[Limit]) -> bool:
    """Whether the plan keeps every limit."""
    return all(limit.violation(plan) <= 0 for limit in limits)


def smallest(space: Space, measure: Measure) -> Plan:
    """The plan with the smallest measure; of several, the first found.

    Exact for a space of at most 5,000 plans. In a larger one the best neighbor is followed down, from every block's
    best level at once where the space has that plan, which is exact for a measure that adds up over the blocks, as
    FLOPs do.
    """
    if space.size <= _ENUMERABLE:
        return min(space.enumerate(), key=measure)
    plan = _best_of_each_block(space, measure)
    while measure(best := min(space.neighbors(plan), key=measure)) < measure(plan):
        plan = best
    return plan


def _best_of_each_block(space: Space, measure: Measure) -> Plan:
    """Every block at the level that is best for it alone; the dense plan where the space has no such plan."""
    dense = Plan.dense(space.num_blocks)
    best = {index: (measure(dense), block) for index, block in enumerate(dense.blocks)}
    for plan in space.neighbors(dense):
        changed = [index for index, block in enumerate(plan.blocks) if not block.is_kept]
        if len(changed) == 1:
            (index,) = changed
            best[index] = min(best[index], (measure(plan), plan.blocks[index]), key=lambda entry: entry[0])
    joined = Plan(tuple(block for _, block in best.values()))
    return joined if joined in space else dense


def check_reachable(space: Space, limits: Sequence[Limit]) -> None:
    """Refuses, before any compute, limits that no plan of the space can keep.

    Raises:
        UnreachableError: one limit by itself is out of reach; says what is nearest.
    """
    for limit in limits:
        plan = smallest(space, limit.measure)
        if limit.violation(plan) > 0:
            nearest = limit.measure(plan)
            raise UnreachableError(
                f"{limit.name} must be reachable in space '{space.name}', got {limit.bound:.6g}: the nearest "
                f"reachable is {nearest:.6g} (plan '{plan}'); allow at least that, or take another space"
            )


def repair(plan: Plan, space: Space, limits: Sequence[Limit], rng: np.random.Generator) -> Plan | None:
    """A plan of the space that keeps all limits, as few steps from `plan` as a greedy walk finds.

    Each step takes the neighbor that comes nearest to keeping the limits; of several that keep them, a random
    one. With one limit on a measure that adds up over independent blocks, no nearer plan keeps it.

    Returns:
        The plan itself where it keeps the limits. None where none was found: the walk ended outside of them
        and, in a space of at most 5,000 plans, no plan keeps them.
    """
    seen = plan
    for _ in range(2 * space.num_blocks):
        if is_feasible(seen, limits):
            return seen
        step = _best_step(seen, space, limits, rng)
        if step is None:
            break
        seen = step
    return _nearest_feasible(plan, space, limits, rng) if space.size <= _ENUMERABLE else None


def distance(first: Plan, second: Plan) -> int:
    """The number of blocks in which two plans of the same depth differ."""
    return sum(a != b for a, b in zip(first.blocks, second.blocks, strict=True))


def _best_step(plan: Plan, space: Space, limits: Sequence[Limit], rng: np.random.Generator) -> Plan | None:
    """The neighbor with the smallest excess, a random one of equals; None where none beats the plan."""
    near = list(space.neighbors(plan))
    excess = np.array([_excess(other, limits) for other in near])
    if not excess.min() < _excess(plan, limits):
        return None
    best = np.flatnonzero(excess == excess.min())
    return near[int(best[rng.integers(len(best))])]


def _excess(plan: Plan, limits: Sequence[Limit]) -> float:
    """The sum over the limits of how far the plan is above them, relative to the bound where there is one."""
    return sum(max(limit.violation(plan), 0.0) / (abs(limit.bound) or 1.0) for limit in limits)


def _nearest_feasible(plan: Plan, space: Space, limits: Sequence[Limit], rng: np.random.Generator) -> Plan | None:
    feasible = [other for other in space.enumerate() if is_feasible(other, limits)]
    if not feasible:
        return None
    away = np.array([distance(plan, other) for other in feasible])
    nearest = np.flatnonzero(away == away.min())
    return feasible[int(nearest[rng.integers(len(nearest))])]
