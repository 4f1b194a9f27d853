"""The `DecoderFamily` row of a text decoder: the listed one, or one derived from its modules.

A row is derived only for an ordinary decoder: the config has the usual keys, and its sizes give the number of weights
of the query, key, value and output projections and of a gated or plain FFN, fused or not. Others have no row, and
their blocks are counted (`workers.models.check_flops`).
"""

from __future__ import annotations

from typing import Any

from torch import nn

from workers.blocks.anatomy import attention_of
from workers.models.families import DECODERS, DecoderFamily, decoder_sizes


def decoder_row(text: Any, block: nn.Module) -> DecoderFamily | None:
    """Return the row of a text config, None for a decoder that is neither listed nor ordinary.

    Args:
        text: text config of the model.
        block: one decoder block, with or without weights.
    """
    if text.model_type in DECODERS:
        return DECODERS[text.model_type]
    for gated in (True, False):
        row = DecoderFamily(gated_ffn=gated, is_parallel=is_parallel(text, block))
        if _explains(row, text.to_dict(), block):
            return row
    return None


def is_parallel(text: Any, block: nn.Module) -> bool:
    """Return True if attention and FFN of a block read the same input: by the config, or as they share one norm."""
    return bool(getattr(text, "use_parallel_residual", False)) or _num_norms(block) < 2


def sizes_of(text: Any, block: nn.Module) -> dict[str, Any]:
    """Return the fields of `ModelShape` of a decoder without a row, as far as its config and its weights name them."""
    attention = attention_of(block)
    matrices = [weight for weight in block.parameters() if weight.ndim > 1]
    inside = {id(weight) for weight in attention.parameters()}
    heads = _size(text, "num_attention_heads") or 1
    return {
        "num_blocks": text.num_hidden_layers,
        "hidden_size": text.hidden_size,
        "num_heads": heads,
        "num_kv_heads": _size(text, "num_key_value_heads") or heads,
        "head_size": _size(text, "head_dim") or max(1, text.hidden_size // heads),
        "ffn_size": max((max(each.shape[-2:]) for each in matrices if id(each) not in inside), default=1),
        "gated_ffn": True,
        "vocab_size": text.vocab_size,
    }


def _size(text: Any, name: str) -> int | None:
    """Return a size of a config, None where it has none or another one for every layer."""
    try:
        value = getattr(text, name, None)
    except Exception:  # transformers has an error of its own for attributes that vary across layers
        return None
    return value if isinstance(value, int) else None


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
