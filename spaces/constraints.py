"""Checks limits on plans before anything runs, and repairs plans that exceed them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from spaces.plan import Plan
from spaces.spaces import Space

_ENUMERABLE = 5_000
"""Maximum size of a space, in plans, that is searched by enumeration."""

Measure = Callable[[Plan], float]
"""Plan -> cost, such as its FLOPs ratio."""


class UnreachableError(ValueError):
    """No plan of the space keeps a limit. The message is one line for the user."""


@dataclass(frozen=True)
class Limit:
    """A bound on a cost, such as the FLOPs ratio, that a plan must not exceed."""

    name: str
    bound: float
    measure: Measure
    of_cost: bool = False
    """True if the measure is the minimized cost, divided by that of the dense plan."""
    text: Callable[[float], str] = "{:.6g}".format
    """Returns a value of the measure as text, with its unit."""

    def __post_init__(self) -> None:
        if math.isnan(self.bound):
            raise ValueError(
                f"the bound of limit '{self.name}' must be a number, got {self.bound}: give a finite bound"
            )

    def violation(self, plan: Plan) -> float:
        """Return the amount by which a plan exceeds the bound, in units of the measure; 0 or less if it does not."""
        return self.measure(plan) - self.bound


def is_feasible(plan: Plan, limits: Sequence[Limit]) -> bool:
    """Return True if the plan keeps all limits."""
    return all(limit.violation(plan) <= 0 for limit in limits)


def smallest(space: Space, measure: Measure) -> Plan:
    """Return the plan with the smallest measure; of several, the first found.

    A space of at most 5,000 plans is enumerated. In a larger space, the best neighbor is taken repeatedly, starting
    from the plan in which each block has its best level, or from the dense plan if that is not in the space. This is
    exact if the measure is a sum over the blocks, such as FLOPs.
    """
    if space.size <= _ENUMERABLE:
        return min(space.enumerate(), key=measure)
    plan = _best_of_each_block(space, measure)
    while measure(best := min(space.neighbors(plan), key=measure)) < measure(plan):
        plan = best
    return plan


def _best_of_each_block(space: Space, measure: Measure) -> Plan:
    """Return the plan in which every block has its best level, or the dense plan if the space lacks that plan."""
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
    """Check, before any expensive work, that each limit can be satisfied by some plan of the space.

    Raises:
        UnreachableError: no plan satisfies one of the limits. The message names the nearest reachable value.
    """
    for limit in limits:
        plan = smallest(space, limit.measure)
        if limit.violation(plan) > 0:
            nearest = limit.measure(plan)
            raise UnreachableError(
                f"{limit.name} must be reachable in space '{space.name}', got {limit.text(limit.bound)}: the nearest "
                f"reachable is {limit.text(nearest)} (plan '{plan}'); allow at least that, or take another space"
            )


def repair(plan: Plan, space: Space, limits: Sequence[Limit], rng: np.random.Generator) -> Plan | None:
    """Return a plan of the space near `plan` that satisfies all limits, found by greedy steps.

    Each step takes the neighbor with the smallest violation of the limits; of equal ones, a random one. With one limit
    on a measure that is a sum over independent blocks, no nearer plan satisfies it.

    Args:
        plan: the plan to start from.
        space: the space of the result.
        limits: the limits to satisfy.
        rng: chooses among equally good neighbors.

    Returns:
        The plan itself if it satisfies the limits. None if no plan was found: the walk ended without one and, in a
        space of at most 5,000 plans, no plan satisfies the limits.
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
    """Return the number of blocks in which two plans of the same depth differ."""
    return sum(a != b for a, b in zip(first.blocks, second.blocks, strict=True))


def _best_step(plan: Plan, space: Space, limits: Sequence[Limit], rng: np.random.Generator) -> Plan | None:
    """Return the neighbor with the smallest excess (ties at random); None if none is better than the plan."""
    near = list(space.neighbors(plan))
    excess = np.array([_excess(other, limits) for other in near])
    if not excess.min() < _excess(plan, limits):
        return None
    best = np.flatnonzero(excess == excess.min())
    return near[int(best[rng.integers(len(best))])]


def _excess(plan: Plan, limits: Sequence[Limit]) -> float:
    """Return the sum of the violations of the limits, each relative to its bound, or absolute for a bound of 0."""
    return sum(max(limit.violation(plan), 0.0) / (abs(limit.bound) or 1.0) for limit in limits)


def _nearest_feasible(plan: Plan, space: Space, limits: Sequence[Limit], rng: np.random.Generator) -> Plan | None:
    feasible = [other for other in space.enumerate() if is_feasible(other, limits)]
    if not feasible:
        return None
    away = np.array([distance(plan, other) for other in feasible])
    nearest = np.flatnonzero(away == away.min())
    return feasible[int(nearest[rng.integers(len(nearest))])]
