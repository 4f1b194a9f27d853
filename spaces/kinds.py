"""Defines kinds of decoder blocks: the properties that differ between blocks, and the ops that each kind excludes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from spaces.block import CROSS_OPS, SINGLE_BLOCKS, SINGLE_OPS, Block, Op
from spaces.plan import Plan
from spaces.pruning import FULL, Linears, Pruning
from spaces.scope import Scope


@dataclass(frozen=True, kw_only=True)
class CountedBlock:
    """FLOPs of a block without a closed form, as counted by torch."""

    query: int
    """FLOPs per row that attends: projections of queries and outputs."""
    key: int
    """FLOPs per row whose keys and values are computed."""
    pair: int
    """FLOPs per query-key pair: score and mixing of values."""
    ffn: int
    """FLOPs of the FFN per row."""
    cached: int
    """Number of cached values (of keys and values) per token."""


@dataclass(frozen=True, kw_only=True)
class BlockKind:
    """The properties of a decoder block that may differ between the blocks of a model."""

    window: int | None = None
    """Size of the sliding window in tokens, including the token itself; None to attend to all preceding tokens."""
    is_parallel: bool = False
    """True if attention and FFN of the unmodified block read the same input."""
    is_cross: bool = False
    """True if the attention is cross-attention to image features."""
    active_ffn_weights: int | None = None
    """Number of weights of a mixture of experts that each row is multiplied with; None for a dense FFN.

    These are the weights of active experts, shared experts and router.
    """
    attention_parameters: int | None = None
    """Parameters of the attention and its norms, counted; None: no biases and one RMSNorm."""
    ffn_parameters: int | None = None
    """Counted parameters of the FFN and its norms; None for those of an FFN without biases and one RMSNorm."""
    has_fused_projections: bool = False
    """True without separate projections of queries, keys and values: attention is skipped for all tokens or none."""
    counted: CountedBlock | None = None
    """Counted FLOPs; None if the closed form applies."""

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
        """Return the block as this kind can have it, skip_attn and skip_cross exchanged if needed; None if it can't."""
        stand_in = {Op.SKIP_ATTN: Op.SKIP_CROSS} if self.is_cross else {Op.SKIP_CROSS: Op.SKIP_ATTN}
        if block.op in stand_in:
            block = replace(block, op=stand_in[block.op])
        whole = block.op.runs_attention or block.scope is Scope.ALL or self.is_cross or not self.has_fused_projections
        return block if whole and not self.refusal(block.op) and self._can_be(block.pruning) else None

    def _can_be(self, pruning: Pruning | None) -> bool:
        """Return True if a block of this kind can have the pruning; experts and cross-attention can't be pruned."""
        if pruning is None:
            return True
        of_attention = pruning.head_width < FULL or pruning.sparsifies(Linears.ATTENTION)
        dense = self.active_ffn_weights is None and self.counted is None
        return dense and not (self.is_cross and of_attention)


PLAIN = BlockKind()
"""A self-attention block without a window, with a dense FFN."""


def fitted(plan: Plan, kinds: Sequence[BlockKind]) -> Plan:
    """Return the plan as a model with blocks of these kinds can have it.

    skip_attn and skip_cross are exchanged if needed. A block that cannot have its op is kept; of a pair, both blocks.

    Args:
        plan: the plan to fit.
        kinds: kind of each block; empty if all blocks are plain, when the plan is returned unchanged.
    """
    if not kinds:
        return plan
    fits = [kind.fitted(block) for kind, block in zip(kinds, plan.blocks, strict=True)]
    for i, block in enumerate(plan.blocks):
        if block.op is Op.PAIR and None in fits[i : i + 2]:
            fits[i : i + 2] = [None, None]
    return Plan(tuple(fit or SINGLE_BLOCKS[Op.KEEP] for fit in fits))


def left_out(kinds: Sequence[BlockKind]) -> list[str]:
    """Return lines for the user on the ops that blocks of a model cannot have, one per reason."""
    places: dict[str, dict[Op, list[int]]] = {}
    for index, kind in enumerate(kinds):
        for op in (*SINGLE_OPS, Op.PAIR):
            if reason := kind.refusal(op):
                places.setdefault(reason.split(";")[0].split(", and")[0], {}).setdefault(op, []).append(index)
    fused = any(kind.has_fused_projections and not kind.is_cross for kind in kinds)
    lines = ["scopes of skipped attention: queries, keys and values have one projection"] if fused else []
    for reason, found in places.items():
        indices = next(iter(found.values()))
        where = (
            "every block"
            if len(indices) == len(kinds)
            else f"block{'s' * (len(indices) > 1)} {', '.join(map(str, indices))}"
        )
        lines.append(f"{', '.join(found)} at {where}: {reason}")
    return lines
