"""Kinds of decoder blocks: the properties that differ from block to block, and the ops each kind excludes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from spaces.block import CROSS_OPS, SINGLE_BLOCKS, SINGLE_OPS, Block, Op
from spaces.plan import Plan
from spaces.pruning import FULL, Linears, Pruning


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
        return None if self.refusal(block.op) or not self._can_be(block.pruning) else block

    def _can_be(self, pruning: Pruning | None) -> bool:
        """Return True if the pruning applies to this kind: experts and cross-attention are not pruned."""
        if pruning is None:
            return True
        of_attention = pruning.head_width < FULL or pruning.sparsifies(Linears.ATTENTION)
        return self.active_ffn_weights is None and not (self.is_cross and of_attention)


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
    lines = []
    for reason, found in places.items():
        indices = next(iter(found.values()))
        where = (
            "every block"
            if len(indices) == len(kinds)
            else f"block{'s' * (len(indices) > 1)} {', '.join(map(str, indices))}"
        )
        lines.append(f"{', '.join(found)} at {where}: {reason}")
    return lines
