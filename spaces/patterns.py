"""Hand-made plans by name: the dense plan, the intervals of arXiv 2410.09454, the first blocks only.

Names, with the op and the start left out where they are skip_block and 0:
    dense                     nothing is changed
    interval-K[:OP][@START]   block i has OP when START < i < last block and i is a multiple of K
    first-K[:OP]              the first K blocks are kept, the others have OP
"""

import re

from spaces.block import Op, as_op
from spaces.names import unknown
from spaces.plan import Plan
from spaces.spaces import NON_KEEP, Space

_NAME = re.compile(r"(?P<kind>interval|first)-(?P<k>\d+)(:(?P<op>\w+))?(@(?P<start>-?\d+))?")
_FORMS = ("dense", "interval-K[:OP][@START]", "first-K[:OP]")


def pattern(name: str, num_blocks: int) -> Plan:
    """The plan of that name for a model of `num_blocks` blocks.

    Raises:
        ValueError: no such name, an unknown op, an interval of 0, a start or a k beyond the model.
    """
    if name == "dense":
        return Plan.dense(num_blocks)
    parts = _NAME.fullmatch(name)
    if parts is None or (parts["kind"] == "first" and parts["start"] is not None):
        raise unknown("pattern", name, _FORMS, "for example interval-2:skip_attn@4 or first-6")
    op = as_op(parts["op"] or Op.SKIP_BLOCK, f" in pattern {name!r}")
    k, start = int(parts["k"]), int(parts["start"] or 0)
    if parts["kind"] == "first":
        _check(name, "K", k, 0, num_blocks)
        return Plan.of(Op.KEEP if i < k else op for i in range(num_blocks))
    _check(name, "K", k, 1, num_blocks)
    _check(name, "START", start, -1, num_blocks - 1)
    return Plan.of(op if start < i < num_blocks - 1 and i % k == 0 else Op.KEEP for i in range(num_blocks))


def pattern_names(num_blocks: int) -> list[str]:
    """The names of the patterns to compare a search with, dense first, then roughly from mild to severe.

    Intervals 4, 3, 2 over the whole model and over its later half, with every op; the first three, two
    and one quarters of the blocks.
    """
    names = ["dense"]
    for k in (4, 3, 2):
        for op in NON_KEEP:
            for start in (num_blocks // 2, 0):
                names.append(_interval_name(k, op, start))
    names += [f"first-{num_blocks * quarters // 4}" for quarters in (3, 2, 1)]
    return names


def baselines(space: Space) -> dict[str, Plan]:
    """Every hand-made plan that lies in the space, by name, dense first; of equal plans only the first."""
    found: dict[str, Plan] = {}
    for name in pattern_names(space.num_blocks):
        try:
            plan = pattern(name, space.num_blocks)
        except ValueError:  # a model of few blocks has no such interval
            continue
        if plan in space and plan not in found.values():
            found[name] = plan
    return found


def _interval_name(interval: int, op: Op, start: int) -> str:
    return f"interval-{interval}" + ("" if op is Op.SKIP_BLOCK else f":{op}") + (f"@{start}" if start else "")


def _check(name: str, what: str, got: int, low: int, high: int) -> None:
    if not low <= got <= high:
        raise ValueError(f"{what} in pattern {name!r} must be {low} to {high} for this model, got {got}: change it")
