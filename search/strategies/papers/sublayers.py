"""Plans as sets of sub-layers that are left out, for algorithms that remove sub-layers one by one."""

from collections.abc import Iterable

from spaces.kinds import fitted
from spaces.plan import Op, Plan
from spaces.spaces import Space

_OP = {(True, True): Op.KEEP, (False, True): Op.SKIP_ATTN, (True, False): Op.SKIP_FFN, (False, False): Op.SKIP_BLOCK}


def plan_of_sublayers(space: Space, running: Iterable[tuple[bool, bool]]) -> Plan:
    """Return the plan in which exactly the given sub-layers run.

    Args:
        space: gives the kind of each block.
        running: per block, (True if its attention runs, True if its FFN runs).
    """
    return fitted(Plan.of(_OP[attention, ffn] for attention, ffn in running), space.kinds)


def num_out(plan: Plan) -> int:
    """Return the number of attentions and FFNs that don't run."""
    return 2 * len(plan) - plan.num_attention - plan.num_ffn


def steps_down(space: Space, plan: Plan) -> list[Plan]:
    """Return the plans that leave out one sub-layer more than `plan`; one block more if the space has blocks only."""
    fewer = [(num_out(other), other) for other in space.neighbors(plan) if num_out(other) > num_out(plan)]
    least = min((count for count, _ in fewer), default=0)
    return [other for count, other in fewer if count == least]


def join(space: Space, first: Plan, second: Plan) -> Plan:
    """Return the plan that leaves out every sub-layer that `first` or `second` leaves out."""
    pairs = zip(first.ops, second.ops, strict=True)
    return plan_of_sublayers(
        space, ((a.runs_attention and b.runs_attention, a.runs_ffn and b.runs_ffn) for a, b in pairs)
    )
