"""Kinds of decoder blocks: the properties that differ from block to block, and the ops each kind excludes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from spaces.block import CROSS_OPS, SINGLE_BLOCKS, SINGLE_OPS, Block, Op
from spaces.plan import Plan
from spaces.pruning import FULL, Linears, Pruning
from spaces.scope import Scope


@dataclass(frozen=True, kw_only=True)
class CountedBlock:
    """FLOPs of a block that has no closed form, as torch counts them."""

    query: int
    """FLOPs per row that attends: projections of queries and outputs."""
    key: int
    """FLOPs per row whose keys and values are computed."""
    pair: int
    """FLOPs per score, the mixing of values included."""
    ffn: int
    """FLOPs of the FFN per row."""
    cached: int
    """Keys and values that are cached per token."""


@dataclass(frozen=True, kw_only=True)
class BlockKind:
    """The properties of one decoder block that differ from block to block."""

    window: int | None = None
    """Tokens that its sliding window attends to, including the token itself; None: all preceding tokens."""
    is_parallel: bool = False
    """True if the model itself feeds attention and FFN with the same input."""
    is_cross: bool = False
    """True if its attention is to image features instead of tokens."""
    active_ffn_weights: int | None = None
    """Weights of a mixture of experts that are multiplied with each row; None: no mixture.

    They include those of the active experts, of the router and of shared experts.
    """
    attention_parameters: int | None = None
    """Counted parameters of its attention and the norms around it; None: no biases, one RMSNorm."""
    ffn_parameters: int | None = None
    """Counted parameters of its FFN and the norms around it; None: no biases, one RMSNorm."""
    has_fused_projections: bool = False
    """True if queries, keys and values are not made apart: its attention is skipped for all tokens or for none."""
    counted: CountedBlock | None = None
    """None: the closed form of an ordinary block holds."""

    def refusal(self, op: Op) -> str | None:
        """Return the reason why a block of this kind cannot have an op, or None if it can."""
        if self.is_cross and op in SINGLE_OPS and op not in CROSS_OPS:
            return "it attends to image features; take skip_cross, skip_ffn or skip_block"
        if self.is_cross and op in (Op.PAIR, Op.PAIRED):
            return "it attends to image features, and only self-attention blocks make a pair; leave the pair out"
        if op is Op.SKIP_CROSS and not self.is_cross:
            return "it has self-attention; take skip_attn"
        if op is Op.PARALLEL and self.is_parallel:
            return "its attention and FFN read the same input already; leave the op out"
        return None

    def fitted(self, block: Block) -> Block | None:
        """Return the block with skip_attn or skip_cross as this kind requires, or None if it cannot have the block."""
        stand_in = {Op.SKIP_ATTN: Op.SKIP_CROSS} if self.is_cross else {Op.SKIP_CROSS: Op.SKIP_ATTN}
        if block.op in stand_in:
            block = replace(block, op=stand_in[block.op])
        whole = block.op.runs_attention or block.scope is Scope.ALL or self.is_cross or not self.has_fused_projections
        return block if whole and not self.refusal(block.op) and self._can_be(block.pruning) else None

    def _can_be(self, pruning: Pruning | None) -> bool:
        """Return True if the pruning applies to this kind: experts, cross-attention, counted blocks are not."""
        if pruning is None:
            return True
        of_attention = pruning.head_width < FULL or pruning.sparsifies(Linears.ATTENTION)
        dense = self.active_ffn_weights is None and self.counted is None
        return dense and not (self.is_cross and of_attention)


PLAIN = BlockKind()
"""A self-attention block without a window, with a dense FFN."""


def fitted(plan: Plan, kinds: Sequence[BlockKind]) -> Plan:
    """Return the plan as blocks of these kinds can have it.

    skip_attn and skip_cross replace each other as needed. A block that cannot have its op is kept; of a pair, both are.

    Args:
        plan: the plan to fit.
        kinds: the kind of every block; empty: all blocks are plain, and the plan is returned unchanged.
    """
    if not kinds:
        return plan
    fits = [kind.fitted(block) for kind, block in zip(kinds, plan.blocks, strict=True)]
    for i, block in enumerate(plan.blocks):
        if block.op is Op.PAIR and None in fits[i : i + 2]:
            fits[i : i + 2] = [None, None]
    return Plan(tuple(fit or SINGLE_BLOCKS[Op.KEEP] for fit in fits))


def left_out(kinds: Sequence[BlockKind]) -> list[str]:
    """Return the ops that blocks of a model cannot have, one line per reason, for people."""
    places: dict[str, dict[Op, list[int]]] = {}
    for index, kind in enumerate(kinds):
        for op in (*SINGLE_OPS, Op.PAIR):
            if reason := kind.refusal(op):
                places.setdefault(reason.split(";")[0].split(", and")[0], {}).setdefault(op, []).append(index)
    fused = any(kind.has_fused_projections and not kind.is_cross for kind in kinds)
    lines = ["scopes of skipped attention: queries, keys and values are made together"] if fused else []
    for reason, found in places.items():
        indices = next(iter(found.values()))
        where = (
            "every block"
            if len(indices) == len(kinds)
            else f"block{'s' * (len(indices) > 1)} {', '.join(map(str, indices))}"
        )
        lines.append(f"{', '.join(found)} at {where}: {reason}")
    return lines
