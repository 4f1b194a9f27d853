"""Kinds of decoder blocks: what of a block differs from block to block, and which ops it can't have."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from spaces.block import CROSS_OPS, SINGLE_BLOCKS, SINGLE_OPS, Block, Op
from spaces.plan import Plan
from spaces.pruning import FULL, Linears, Pruning


@dataclass(frozen=True, kw_only=True)
class BlockKind:
    """What of one decoder block differs from block to block."""

    window: int | None = None
    """Tokens that its sliding window attends to, the token itself included; None: all before it."""
    is_parallel: bool = False
    """Whether the family itself feeds attention and FFN with the same input."""
    is_cross: bool = False
    """Whether its attention is to image features, not to tokens."""
    active_ffn_weights: int | None = None
    """Weights that one row is multiplied with where its FFN is a mixture of experts: those of the experts active for
    the row, of the router and of shared experts."""
    attention_parameters: int | None = None
    """Parameters of its attention and the norms around it as counted; None: no biases, one RMSNorm."""
    ffn_parameters: int | None = None
    """Parameters of its FFN and the norms around it as counted; None: no biases, one RMSNorm."""

    def refusal(self, op: Op) -> str | None:
        """Why a block of this kind can't have an op; None where it can."""
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
        """The block, skip_attn and skip_cross standing for each other; None where this kind of block can't have it."""
        stand_in = {Op.SKIP_ATTN: Op.SKIP_CROSS} if self.is_cross else {Op.SKIP_CROSS: Op.SKIP_ATTN}
        if block.op in stand_in:
            block = replace(block, op=stand_in[block.op])
        return None if self.refusal(block.op) or not self._can_be(block.pruning) else block

    def _can_be(self, pruning: Pruning | None) -> bool:
        """Experts are not pruned, and no attention to image features, whose keys and values are of no tokens."""
        if pruning is None:
            return True
        of_attention = pruning.head_width < FULL or pruning.sparsifies(Linears.ATTENTION)
        return self.active_ffn_weights is None and not (self.is_cross and of_attention)


PLAIN = BlockKind()


def fitted(plan: Plan, kinds: Sequence[BlockKind]) -> Plan:
    """The plan with skip_attn and skip_cross as the blocks have them, and blocks kept that can't have their op, both of
    a pair. No kinds: all blocks are plain."""
    if not kinds:
        return plan
    fits = [kind.fitted(block) for kind, block in zip(kinds, plan.blocks, strict=True)]
    for i, block in enumerate(plan.blocks):
        if block.op is Op.PAIR and None in fits[i : i + 2]:
            fits[i : i + 2] = [None, None]
    return Plan(tuple(fit or SINGLE_BLOCKS[Op.KEEP] for fit in fits))


def left_out(kinds: Sequence[BlockKind]) -> list[str]:
    """What the blocks of a model can't have, one line a reason, for people."""
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
