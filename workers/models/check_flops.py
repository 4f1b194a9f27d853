"""Checks the closed-form FLOPs of a decoder against those that torch counts on the decoder without weights.

Blocks with heads of different sizes, attention with extra projections, experts that all run on every row, or a module
that runs on fewer rows can have the same config keys and number of weights as ordinary blocks. If the closed form
differs from the count, in the prefill or in a decode step with a KV cache, each block gets the counted FLOPs per row
and per attention score instead. If these do not explain the count either, the decoder is rejected.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from objectives.flops import flops
from objectives.workload import Workload
from spaces.kinds import CountedBlock
from spaces.plan import Plan
from spaces.shape import ModelShape
from workers.blocks.anatomy import find_blocks, is_cross, text_config
from workers.models.count_blocks import Count, count_blocks

ROWS = (7, 14)
"""Numbers of prompt tokens of the two runs from which FLOPs per row and per score are computed."""
MORE = 11
"""Number of prompt tokens, beyond the longest sliding window, of the run on which these are checked."""


def check_flops(model: nn.Module, shape: ModelShape, is_ordinary: bool = True) -> ModelShape:
    """Return a shape whose closed-form FLOPs equal those that torch counts for prefill and decode step.

    Args:
        model: a model without weights (`meta_model`), with eager attention.
        shape: shape of the model, from which the closed form is computed.
        is_ordinary: False for a decoder whose sizes don't explain its weights; counted FLOPs are then used directly.

    Raises:
        ValueError: no FLOPs per row and per score explain the count, or the decoder doesn't run without weights.
    """
    has_cross = any(map(is_cross, find_blocks(model)[1]))
    window = max((kind.window or 0 for kind in shape.block_kinds), default=0)
    small, more = count_blocks(model, ROWS[0]), count_blocks(model, window + MORE)
    if is_ordinary and _agree(shape, (small, more), has_cross):
        return shape
    if not has_cross:
        large = count_blocks(model, ROWS[1])
        blocks = [_counted(*pair) for pair in zip(small.blocks, large.blocks, strict=True)]
        pairs = zip(shape.block_kinds, blocks, strict=True)
        kinds = [replace(kind, counted=each, active_ffn_weights=None) for kind, each in pairs]
        shape = replace(shape, kinds=tuple(kinds))
        if all(blocks) and _agree(shape, (small, large, more), has_cross):
            return shape
    other = next((each for each in (small, more) if not _agree(shape, (each,), has_cross)), more)
    counted, wanted = other.prefill + other.decode, sum(_closed_form(shape, other, has_cross))
    raise ValueError(
        f"FLOPs of a decoder must be a number per row and one per score, got {counted} counted for {wanted:.0f} on "
        f"{other.rows} + 1 tokens in the text decoder {text_config(model).model_type!r}: its blocks are no "
        "ordinary ones, take another model"
    )


def _agree(shape: ModelShape, counts: tuple[Count, ...], has_cross: bool) -> bool:
    return all(_closed_form(shape, each, has_cross) == (each.prefill, each.decode) for each in counts)


def _closed_form(shape: ModelShape, count: Count, has_cross: bool) -> tuple[float, float]:
    """Return the closed-form FLOPs of all blocks for the prompt of a count, and for one decode step after it."""
    workload = Workload(
        visual_tokens=0,
        text_tokens=count.rows,
        generated_tokens=2,
        cross_tokens=count.rows if has_cross else 0,
        vision_flops=0,
        projector_flops=0,
    )
    ledger = flops(shape, Plan.dense(shape.num_blocks), workload)
    return ledger.prefill, ledger.decode


def _counted(small: Any, large: Any) -> CountedBlock | None:
    """Return the FLOPs of a block per row and per score, from two counts; None if they are not whole numbers.

    Args:
        small, large: `BlockCount` of the block with the two prompts of `ROWS`.
    """
    first, second = ROWS[:2]
    # attention = linear * rows + pair * rows ** 2
    pair, rest = divmod(large.attention * first - small.attention * second, first * second * (second - first))
    linear, more = divmod(small.attention - pair * first**2, first)
    key, ffn = small.keys // first, small.ffn // first
    if rest or more or min(pair, linear - key) < 0:
        return None
    return CountedBlock(query=linear - key, key=key, pair=pair, ffn=ffn, cached=small.cached)
