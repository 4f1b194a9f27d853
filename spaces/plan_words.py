"""Describes a plan in words."""

from collections.abc import Iterator

from spaces.agreement import ranges
from spaces.block import Block, Op, Variant
from spaces.plan import Plan
from spaces.scope import Scope

_DOES = {
    Op.SKIP_BLOCK: "skips block{s} {blocks}",
    Op.SKIP_ATTN: "skips the attention of block{s} {blocks}",
    Op.SKIP_FFN: "skips the FFN of block{s} {blocks}",
    Op.SKIP_CROSS: "skips the cross-attention of block{s} {blocks}",
    Op.PARALLEL: "runs attention and FFN of block{s} {blocks} in parallel",
    Op.PAIR: "runs block{s} {blocks} in parallel with the next one",
}
_TOKENS = {
    Scope.VISUAL: " for visual tokens",
    Scope.PROMPT: " for all tokens of the prompt",
    Scope.GENERATED: " while it generates",
}


def plan_words(plan: Plan) -> list[str]:
    """Return one clause per kind of change, in the order of the ops; blocks are numbered from 0.

    The plan that changes nothing gives `["runs every block whole"]`.
    """
    clauses = list(_clauses(plan))
    return clauses or ["runs every block whole"]


def _clauses(plan: Plan) -> Iterator[str]:
    changes: dict[tuple[Op, Scope, Variant | None], set[int]] = {}
    prunings: dict[str, set[int]] = {}
    for index, block in enumerate(plan.blocks):
        if block.op not in (Op.KEEP, Op.PAIRED):
            changes.setdefault(_key(block), set()).add(index)
        if block.pruning_mark:
            prunings.setdefault(block.pruning_mark, set()).add(index)
    order = list(_DOES)
    for (op, scope, variant), blocks in sorted(changes.items(), key=lambda item: (order.index(item[0][0]), item[0][1])):
        mean = ", as the mean of the two" if variant is Variant.MEAN else ""
        yield _DOES[op].format(s="s" if len(blocks) > 1 else "", blocks=ranges(blocks)) + _TOKENS.get(scope, "") + mean
    for mark, blocks in prunings.items():
        yield f"prunes block{'s' if len(blocks) > 1 else ''} {ranges(blocks)} by {mark}"


def _key(block: Block) -> tuple[Op, Scope, Variant | None]:
    return block.op, block.scope, block.variant if block.op is Op.PAIR else None
