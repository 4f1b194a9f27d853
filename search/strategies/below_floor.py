"""Plans that no effort goes to, because they change all that a plan changes whose accuracy does not count, and more."""

from collections.abc import Sequence

import numpy as np

from search.strategies.strategy import Focus, Observation, focus_above_floor
from spaces.plan import Block, Op, Plan, Scope
from spaces.spaces import Space

DRAWS = 10
"""Draws until a plan that is not hopeless is found; then the last one is taken."""
SUBLAYER_OPS = (Op.SKIP_ATTN, Op.SKIP_CROSS, Op.SKIP_FFN)


class BelowFloor:
    """The plans of a history whose accuracy, after the last rung, does not count.

    The least accuracy is `--min-accuracy`, or the floor where the dense trial measured it.
    """

    def __init__(self, history: Sequence[Observation], focus: Focus) -> None:
        least = focus_above_floor(focus, history).min_accuracy
        below = [o for o in history if o.full and o.accuracy is not None and o.accuracy < least]
        self._plans = [o.plan for o in below if not o.plan.is_dense]

    def holds(self, plan: Plan) -> bool:
        """Return True if a plan contains one of them. Skipping still more rarely gives accuracy back."""
        return any(_contains(plan, other) for other in self._plans)

    def sample(self, space: Space, rng: np.random.Generator) -> Plan:
        """Return a random plan of the space, drawn again while it is hopeless."""
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
    """Return True if a skipped block leaves out the sub-layer that another one skips."""
    same = mine.scope in (Scope.ALL, theirs.scope) and theirs.pruning is None
    return same and mine.op is Op.SKIP_BLOCK and theirs.op in (*SUBLAYER_OPS, Op.SKIP_BLOCK)
