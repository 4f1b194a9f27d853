"""Hand-made plans by name: the dense plan, intervals, only the first blocks, and published patterns for image tokens.

Names; op, scope and start may be left out if they are skip_block, all and 0:
    dense                             nothing is changed
    interval-K[:OP[:SCOPE]][@START]   block i has OP if START < i < last block and i is a multiple of K
    first-K[:OP[:SCOPE]]              the first K blocks are kept, the others have OP
    shortv[-K]                        ShortV: K blocks (19 of 32) skipped for image tokens, in its published order
    vskip[-K]                         V-Skip: attention skipped for image tokens in the last K blocks (50 %)
    oplevel[-K]                       operator-level skipping for image tokens in the last K blocks (50 %)
    {PRUNING}                         every block is pruned in the same way, such as {ffn50} or {w50}

Only ShortV publishes a list of layers; V-Skip and operator-level skipping choose layers per task. Their patterns here
apply the ops of the papers to the last blocks, where image tokens matter least.
"""

import re
from collections.abc import Callable

from spaces.block import SINGLE_OPS, Block, Op, PlanError
from spaces.kinds import fitted
from spaces.names import unknown
from spaces.plan import Plan
from spaces.scope import Scope
from spaces.spaces import NON_KEEP, PRUNINGS, Space

_NAME = re.compile(r"(?P<kind>interval|first)-(?P<k>\d+)(:(?P<block>\w+(:\w+)?))?(@(?P<start>-?\d+))?")
_VISUAL_NAME = re.compile(r"(?P<kind>shortv|vskip|oplevel)(-(?P<k>\d+))?")
_FORMS = (
    "dense",
    "interval-K[:OP[:SCOPE]][@START]",
    "first-K[:OP[:SCOPE]]",
    "shortv[-K]",
    "vskip[-K]",
    "oplevel[-K]",
    "{PRUNING}",
)

_SHORTV_LAYERS = (31, 29, 30, 28, 0, 26, 27, 25, 24, 22, 23, 21, 2, 3, 20, 18, 17, 12, 19)
"""Layers of LLaVA-1.5-7B by importance for image tokens, least important first (ShortV, arXiv 2504.00502)."""
_SHORTV_DEPTH = 32
"""Number of layers of LLaVA-1.5-7B."""


def pattern(name: str, num_blocks: int) -> Plan:
    """Return the plan of the pattern called `name` for a model of `num_blocks` blocks.

    Raises:
        ValueError: the name, op or scope is unknown, the interval is 0, or the start or K is outside of the model.
        PlanError: the op is not that of a single block.
    """
    if name == "dense":
        return Plan.dense(num_blocks)
    if name.startswith("{"):
        return Plan.parse(name + Op.KEEP.char * num_blocks)
    if visual := _VISUAL_NAME.fullmatch(name):
        return _visual(name, visual, num_blocks)
    parts = _NAME.fullmatch(name)
    if parts is None or (parts["kind"] == "first" and parts["start"] is not None):
        raise unknown("pattern", name, _FORMS, "for example interval-2:skip_attn@4 or first-6")
    block = Block.named(parts["block"] or Op.SKIP_BLOCK, f" in pattern {name!r}")
    if block.op not in SINGLE_OPS:
        raise PlanError(f"a pattern must have the op of a single block, got {block.op} in {name!r}: take another op")
    k, start = int(parts["k"]), int(parts["start"] or 0)
    if parts["kind"] == "first":
        _check(name, "K", k, 0, num_blocks)
        return Plan.of(Op.KEEP if i < k else block for i in range(num_blocks))
    _check(name, "K", k, 1, num_blocks)
    _check(name, "START", start, -1, num_blocks - 1)
    return Plan.of(block if start < i < num_blocks - 1 and i % k == 0 else Op.KEEP for i in range(num_blocks))


def pattern_names(num_blocks: int) -> list[str]:
    """Return the names of the patterns that are baselines of a search, dense first, then roughly from mild to severe.

    They are: intervals 4, 3 and 2 over the whole model and over its last 50 %, with each op; the first three, two and
    one quarters of the blocks; published patterns for image tokens; both of the former for image tokens; all blocks
    pruned.
    """
    names = ["dense"]
    for k in (4, 3, 2):
        for op in NON_KEEP:
            for start in (num_blocks // 2, 0):
                names.append(_interval_name(k, op, start))
    quarters = [num_blocks * count // 4 for count in (3, 2, 1)]
    names += [f"first-{k}" for k in quarters]
    names += ["vskip", "oplevel", "shortv"]
    names += [f"first-{k}:skip_block:visual" for k in quarters]
    names += [f"interval-2:{op}:visual" for op in NON_KEEP]
    names += [f"{{{pruning}}}" for pruning in PRUNINGS]
    return names


def baselines(space: Space) -> dict[str, Plan]:
    """Return the hand-made plans of a space by name, dense first; of equal plans only the first."""
    found: dict[str, Plan] = {}
    for name in pattern_names(space.num_blocks):
        try:
            plan = fitted(pattern(name, space.num_blocks), space.kinds)
        except ValueError:  # a model of few blocks has no such interval
            continue
        if plan in space and plan not in found.values():
            found[name] = plan
    return found


def _visual(name: str, parts: re.Match[str], num_blocks: int) -> Plan:
    """Return a published pattern for image tokens, with the published fraction of blocks unless the name has a K."""
    order, default, op_at = _PAPERS[parts["kind"]]
    ranked = order(num_blocks)
    k = int(parts["k"]) if parts["k"] else min(round(default * num_blocks), len(ranked))
    _check(name, "K", k, 0, len(ranked))
    chosen = {block: Block(op_at(place / max(k, 1)), Scope.VISUAL) for place, block in enumerate(ranked[:k])}
    return Plan.of(chosen.get(i, Op.KEEP) for i in range(num_blocks))


def _shortv_order(num_blocks: int) -> list[int]:
    """Return the blocks in the published order of the layers at the same relative depth, without unlisted ones."""
    rank = {layer: place for place, layer in enumerate(_SHORTV_LAYERS)}
    ranks = {}
    for i in range(num_blocks):
        first, last = i * _SHORTV_DEPTH // num_blocks, ((i + 1) * _SHORTV_DEPTH - 1) // num_blocks
        known = [rank[layer] for layer in range(first, last + 1) if layer in rank]
        if known:
            ranks[i] = min(known)
    return sorted(ranks, key=lambda i: (ranks[i], -i))


def _last_first(num_blocks: int) -> list[int]:
    return list(reversed(range(num_blocks)))


def _graded(depth: float) -> Op:
    """Return the op at a place among the changed blocks, from 0 for the last block of the model to 1."""
    return (Op.SKIP_BLOCK, Op.SKIP_ATTN, Op.SKIP_FFN)[min(int(3 * depth), 2)]


_PAPERS: dict[str, tuple[Callable[[int], list[int]], float, Callable[[float], Op]]] = {
    "shortv": (_shortv_order, len(_SHORTV_LAYERS) / _SHORTV_DEPTH, lambda depth: Op.SKIP_BLOCK),
    "vskip": (_last_first, 0.5, lambda depth: Op.SKIP_ATTN),
    "oplevel": (_last_first, 0.5, _graded),
}
"""Name -> (blocks in the order of change, fraction of the blocks, op by place in that order, 0 to 1)."""


def _interval_name(interval: int, op: Op, start: int) -> str:
    return f"interval-{interval}" + ("" if op is Op.SKIP_BLOCK else f":{op}") + (f"@{start}" if start else "")


def _check(name: str, what: str, got: int, low: int, high: int) -> None:
    if not low <= got <= high:
        raise ValueError(f"{what} in pattern {name!r} must be {low} to {high} for this model, got {got}: change it")
