"""Rejects plans that skip a superset of the sub-layers of a plan whose accuracy was already below the minimum."""

from collections.abc import Sequence

import numpy as np

from search.strategies.strategy import Focus, Observation, focus_above_floor
from spaces.plan import Block, Op, Plan, Scope
from spaces.spaces import Space

DRAWS = 10
"""Maximum number of random draws; if all are rejected, the last one is used."""
SUBLAYER_OPS = (Op.SKIP_ATTN, Op.SKIP_CROSS, Op.SKIP_FFN)
"""Ops that skip a single sub-layer, which `SKIP_BLOCK` includes."""


class BelowFloor:
    """The plans of a history whose accuracy at the last rung is below the minimum.

    The minimum is the larger of `--min-accuracy` and the floor, once the dense trial has measured it.
    """

    def __init__(self, history: Sequence[Observation], focus: Focus) -> None:
        least = focus_above_floor(focus, history).min_accuracy
        tried = history if least > 0 else ()  # no accuracy is below 0
        below = [o for o in tried if o.full and o.accuracy is not None and o.accuracy < least]
        self._plans = [o.plan for o in below if not o.plan.is_dense]

    def holds(self, plan: Plan) -> bool:
        """Return True if a plan has all changes of one of these plans; further changes rarely restore accuracy."""
        return any(_contains(plan, other) for other in self._plans)

    def sample(self, space: Space, rng: np.random.Generator) -> Plan:
        """Return a random plan of the space for which `holds` is False; after `DRAWS` draws, any plan."""
        plan = space.sample(rng)
        for _ in range(DRAWS):
            if not self.holds(plan):
                break
            plan = space.sample(rng)
        return plan


def _contains(plan: Plan, other: Plan) -> bool:
    pairs = zip(plan.blocks, other.blocks, strict=True)
    return all(theirs.op is Op.KEEP or mine == theirs or _covers(mine, theirs) for mine, theirs in pairs)


def _covers(mine: Block, theirs: Block) -> bool:
    """Return True if `mine` skips the whole block, for the same tokens, and `theirs` a part of it."""
    same = mine.scope in (Scope.ALL, theirs.scope) and theirs.pruning is None
    return same and mine.op is Op.SKIP_BLOCK and theirs.op in (*SUBLAYER_OPS, Op.SKIP_BLOCK)
