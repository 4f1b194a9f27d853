"""The `DecoderFamily` row of a text decoder: the listed one, or one derived from its modules.

A row is derived only for an ordinary decoder: the config has the usual keys, and its sizes give the number of weights
of the query, key, value and output projections and of a gated or plain FFN, fused or not. Others are refused.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from spaces.names import unknown
from workers.blocks.anatomy import attention_of
from workers.models.families import DECODERS, DecoderFamily, decoder_sizes


def decoder_row(text: Any, block: nn.Module) -> DecoderFamily:
    """Return the row of a text config.

    Args:
        text: text config of the model.
        block: one decoder block, with or without weights.

    Raises:
        ValueError: the decoder is neither listed nor ordinary.
    """
    if text.model_type in DECODERS:
        return DECODERS[text.model_type]
    is_parallel = getattr(text, "use_parallel_residual", False) or _num_norms(block) < 2
    for gated in (True, False):
        row = DecoderFamily(gated_ffn=gated, is_parallel=is_parallel)
        if _explains(row, text.to_dict(), block):
            return row
    raise unknown(
        "text decoder",
        text.model_type,
        DECODERS,
        "its blocks are no ordinary ones: it needs a row in workers/models/families.py",
    )


def _explains(row: DecoderFamily, text: dict[str, Any], block: nn.Module) -> bool:
    """Return True if the sizes in the config give the number of matrix weights of attention and FFN."""
    if any(text.get(row.keys[name]) is None for name in ("num_blocks", "hidden_size", "num_heads", "ffn_size")):
        return False
    sizes = decoder_sizes(row, text)
    width, head = sizes["hidden_size"], sizes["head_size"]
    attention = 2 * width * head * (sizes["num_heads"] + sizes["num_kv_heads"])
    ffn = (3 if row.gated_ffn else 2) * width * sizes["ffn_size"]
    found = _matrices(attention_of(block))
    return (found, _matrices(block) - found) == (attention, ffn)


def _matrices(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters() if weight.ndim > 1)


def _num_norms(block: nn.Module) -> int:
    """Return the number of norms of a block; a block with parallel sub-layers has one."""
    return sum(not _matrices(child) and "norm" in type(child).__name__.lower() for child in block.children())
