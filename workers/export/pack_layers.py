"""The layers of an exported decoder: which sub-layers of a plan share a layer of stock transformers. Imports no torch.

A plan is a sequence of sub-layers: every remaining attention (S) and FFN (F), in order. An S directly before an F makes
one ordinary layer, also if they come from different blocks: with FFN i and attention i+1 skipped, S i and F i+1 are
adjacent. A single sub-layer needs its own layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from spaces.plan import Block, Op, Plan
from spaces.pruning import FULL


class NotStock(Exception):
    """Stock layers cannot express a plan. The message is the reason."""


@dataclass(frozen=True)
class Layer:
    """One layer of the exported decoder: the blocks of the dense model that its sub-layers come from."""

    attention: int | None
    ffn: int | None

    @property
    def is_whole(self) -> bool:
        return self.attention is not None and self.ffn is not None

    @property
    def source(self) -> int:
        """Return the block that a single sub-layer comes from; for two, the attention's."""
        block = self.attention if self.attention is not None else self.ffn
        assert block is not None
        return block


SUBLAYERS = {Op.KEEP: "SF", Op.SKIP_ATTN: "F", Op.SKIP_FFN: "S", Op.SKIP_BLOCK: ""}
"""Op that stock layers can express -> remaining sub-layers of the block."""


def pack_sublayers(plan: Plan) -> tuple[Layer, ...]:
    """Return the layers of a stock decoder for a plan.

    Raises:
        NotStock: a block has an op, scope or variant that stock layers do not have.
    """
    layers: list[Layer] = []
    sublayers = list(_sublayers(plan))
    while sublayers:
        kind, block = sublayers.pop(0)
        if kind == "S" and sublayers and sublayers[0][0] == "F":
            layers.append(Layer(block, sublayers.pop(0)[1]))
        else:
            layers.append(Layer(block, None) if kind == "S" else Layer(None, block))
    return tuple(layers)


def _sublayers(plan: Plan) -> Iterator[tuple[str, int]]:
    for index, block in enumerate(plan.blocks):
        if not is_stock(block):
            raise NotStock(f"{block.name} at block {index} is no stock layer")
        yield from ((sublayer, index) for sublayer in SUBLAYERS[block.op])


def is_stock(block: Block) -> bool:
    """Return True if stock layers have the op, scope and variant of a block."""
    usual = Block()
    return block.op in SUBLAYERS and (block.scope, block.variant) == (usual.scope, usual.variant)


def sublayer_blocks(layers: tuple[Layer, ...]) -> dict[str, list[int | None]]:
    """Return the blocks that attentions and FFNs come from, by the name of their width."""
    return {
        "head_width": [layer.attention for layer in layers],
        "ffn_width": [layer.ffn for layer in layers],
    }


def width_of(plan: Plan, block: int | None, name: str) -> int:
    """Return the percentage of heads or channels that remain in a block, or 100 without a block.

    Args:
        plan: the plan.
        block: index of a block, or None.
        name: `head_width` or `ffn_width`.
    """
    pruning = None if block is None else plan.blocks[block].pruning
    return FULL if pruning is None else int(getattr(pruning, name))
