"""Determines the sizes of a text decoder, of any family, from its config and the weights of its blocks.

A decoder is ordinary if its attention has as many weights as query, key, value and output projections of these sizes,
and its FFN as many as two or three matrices of one size, separate or fused. The FLOPs of other decoders are counted
(`workers.models.check_flops`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from torch import nn

from workers.blocks.anatomy import attention_of, is_cross


@dataclass(frozen=True)
class DecoderSizes:
    """The fields of `ModelShape` that describe a decoder."""

    num_blocks: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    ffn_size: int
    gated_ffn: bool
    vocab_size: int


def decoder_sizes(text: Any, blocks: Sequence[nn.Module]) -> tuple[DecoderSizes, bool]:
    """Return the sizes of a decoder, and True if the matrices of all its blocks have exactly these sizes.

    Args:
        text: text config of the model.
        blocks: its decoder blocks, with or without weights.
    """
    width, num_heads = text.hidden_size, _size(text, "num_attention_heads") or 1
    num_kv_heads = _size(text, "num_key_value_heads") or num_heads
    head_size = _size(text, "head_dim") or max(1, width // num_heads)
    attention = {sum(_matrices(attention_of(block))) for block in blocks if not is_cross(block)}
    ffns = _ffn_matrices(blocks)
    found = {_ffn_size(each, width) for each in ffns}
    ffn = found.pop() if len(found) == 1 else None
    smallest = min(chain.from_iterable(ffns), default=0)
    sizes = DecoderSizes(
        num_blocks=len(blocks),
        hidden_size=width,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_size=head_size,
        ffn_size=ffn[0] if ffn else max(1, smallest // width),
        gated_ffn=ffn[1] if ffn else True,
        vocab_size=text.vocab_size,
    )
    return sizes, ffn is not None and attention == {2 * width * head_size * (num_heads + num_kv_heads)}


def _ffn_matrices(blocks: Sequence[nn.Module]) -> list[list[int]]:
    """Return, per block, the numbers of weights of the matrices of its FFN.

    Blocks with experts are left out, unless all blocks have experts; then the matrices of one expert are taken.
    """
    rest = [[child for child in block.children() if child is not attention_of(block)] for block in blocks]
    experts = [[*chain.from_iterable(map(_expert_matrices, each))] for each in rest]
    dense = [children for children, own in zip(rest, experts, strict=True) if not own]
    return [[*chain.from_iterable(map(_matrices, children))] for children in dense] or experts


def _ffn_size(matrices: Sequence[int], width: int) -> tuple[int, bool] | None:
    """Return the width of an FFN and True if it is gated, or None if its matrices are not two or three of one size."""
    size, rest = divmod(min(matrices, default=0), width)
    num_matrices = sum(matrices) / (size * width) if size else 0
    return (size, num_matrices == 3) if num_matrices in (2, 3) and not rest else None


def _matrices(module: nn.Module) -> list[int]:
    """Return the numbers of weights of the matrices in a module."""
    return [weight.numel() for weight in module.parameters() if weight.ndim > 1]


def _expert_matrices(module: nn.Module) -> list[int]:
    """Return the numbers of weights of the matrices of one expert; a module stacks those of all its experts."""
    return [weight.numel() // len(weight) for weight in module.parameters() if weight.ndim == 3]


def _size(text: Any, name: str) -> int | None:
    """Return a size in a config; None if it is absent or differs between layers."""
    try:
        value = getattr(text, name, None)
    except Exception:  # transformers raises an error of another type for attributes that vary across layers
        return None
    return value if isinstance(value, int) else None
