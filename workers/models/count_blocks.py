"""Counts the FLOPs of decoder blocks on a decoder without weights, separately for attention, keys/values, and FFN."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache

from workers.blocks.anatomy import CROSS_ARGUMENT, attention_of, decoder_of, find_blocks, is_cross, text_config
from workers.blocks.attention_of_rows import KEY, QUERY, VALUE
from workers.blocks.patch import patched
from workers.blocks.zero_output import mute
from workers.models.meta_model import META, Weightless

ACTIVE_EXPERTS = ("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_topk", "moe_k")
"""Keys of text configs for the number of experts that run per row."""


@dataclass(frozen=True)
class BlockCount:
    """FLOPs of one block in one prefill."""

    attention: int
    """FLOPs of the attention."""
    keys: int
    """FLOPs of the projections of keys and values, contained in `attention`; 0 if they are not separate modules."""
    ffn: int
    """All other FLOPs of the block."""
    cached: int
    """Number of cached values (of keys and values) per token."""


@dataclass(frozen=True)
class Count:
    """FLOPs of all blocks for a prompt."""

    rows: int
    """Tokens of the prompt."""
    blocks: tuple[BlockCount, ...]
    prefill: int
    """FLOPs of all blocks for the prompt."""
    decode: int
    """FLOPs of all blocks for one decode step after the prompt."""


def count_blocks(model: nn.Module, rows: int) -> Count:
    """Return the FLOPs that torch counts in the blocks of a decoder, for a prompt and one token after it.

    Args:
        model: a model without weights (`meta_model`), with eager attention.
        rows: number of tokens of the prompt.

    Raises:
        ValueError: the decoder doesn't run without weights, or has experts that can't be counted.
    """
    blocks = find_blocks(model)[1]
    cache = DynamicCache(config=text_config(model))
    muted = experts_without_values(model)
    spent = _Spent(blocks)
    _run(model, rows, cache, muted, spent)
    cached = [_cached(cache, index) for index in range(len(blocks))]
    prefill = spent.take()
    _run(model, 1, cache, muted, spent, before=rows)
    decode = spent.take()
    extra = [_active(model, block, muted) for block in blocks]
    found = [
        BlockCount(attention, keys, whole - attention + rows * each, size)
        for (whole, attention, keys), each, size in zip(prefill, extra, cached, strict=True)
    ]
    return Count(
        rows=rows,
        blocks=tuple(found),
        prefill=sum(each.attention + each.ffn for each in found),
        decode=sum(whole for whole, _, _ in decode) + sum(extra),
    )


def run_decoder(model: nn.Module, rows: int) -> None:
    """Run the decoder of a model without weights on a prompt of `rows` tokens.

    Experts that are routed by values return zeros.

    Raises:
        ValueError: another part of the decoder needs values.
    """
    _run(model, rows, None, experts_without_values(model), None)


def has_fused_projections(block: nn.Module) -> bool:
    """Return True if the attention of a block has no separate q, k and v projections, which some scopes require."""
    return not all(hasattr(attention_of(block), name) for name in (QUERY, KEY, VALUE, "config"))


def active_experts(text: Any) -> int:
    """Return the number of experts that run per row.

    Args:
        text: the text config.

    Raises:
        ValueError: the config does not give it.
    """
    found = next((number for name in ACTIVE_EXPERTS if (number := getattr(text, name, None))), None)
    if not isinstance(found, int):
        raise ValueError(
            f"the config of a mixture of experts must have {', '.join(ACTIVE_EXPERTS)}, got none in the text decoder "
            f"{text.model_type!r}: take another model"
        )
    return found


class _Spent:
    """Collects the FLOPs per block: of the whole block, of its attention, and of the projections of keys and values."""

    def __init__(self, blocks: nn.ModuleList) -> None:
        self._parts: list[tuple[list[nn.Module], ...]] = []
        for block in blocks:
            attention = attention_of(block)
            apart = [] if has_fused_projections(block) else [attention.get_submodule(name) for name in (KEY, VALUE)]
            self._parts.append(([block], [attention], apart))
        self._totals: dict[nn.Module, int] = {}

    def watch(self, counter: FlopCounterMode, stack: ExitStack) -> None:
        """Register hooks, removed when `stack` closes, that add the FLOPs counted inside a module to its total."""

        def begin(module: nn.Module, *_: Any) -> None:
            self._totals[module] = self._totals.get(module, 0) - counter.get_total_flops()

        def end(module: nn.Module, *_: Any) -> None:
            self._totals[module] += counter.get_total_flops()

        for module in (module for parts in self._parts for part in parts for module in part):
            stack.callback(module.register_forward_pre_hook(begin).remove)
            stack.callback(module.register_forward_hook(end).remove)

    def take(self) -> list[tuple[int, ...]]:
        """Return the FLOPs of (block, attention, keys and values) per block, and reset them to 0."""
        totals, self._totals = self._totals, {}
        return [tuple(sum(totals.get(module, 0) for module in part) for part in parts) for parts in self._parts]


def _run(
    model: nn.Module,
    rows: int,
    cache: DynamicCache | None,
    muted: Sequence[nn.Module],
    spent: _Spent | None,
    before: int = 0,
) -> None:
    """Run the decoder on `rows` tokens that follow `before` cached ones.

    Raises:
        ValueError: the decoder needs values; one line.
    """
    text = text_config(model)
    embeddings = torch.empty(1, rows, text.hidden_size, device=META)
    # a decode step reads the features of the prompt from the cache
    has_cross = any(map(is_cross, find_blocks(model)[1])) and not before
    features: dict[str, Tensor] = {CROSS_ARGUMENT: embeddings} if has_cross else {}
    mask = torch.ones(1, before + rows, dtype=torch.long)
    try:
        with ExitStack() as stack:
            for context in (torch.no_grad(), Weightless(), patched([(each, "forward", mute(each)) for each in muted])):
                stack.enter_context(context)
            if spent is not None:
                spent.watch(stack.enter_context(FlopCounterMode(display=False)), stack)
            options = {"past_key_values": cache, "use_cache": cache is not None}
            decoder_of(model)(inputs_embeds=embeddings, attention_mask=mask, **options, **features)
    except Exception as error:  # models that need values raise any kind of error
        why = " ".join(str(error).split())[:200]
        raise ValueError(
            f"a decoder must run without weights to have its FLOPs counted, got {type(error).__name__} ({why}) in the "
            f"text decoder {text.model_type!r}: take another model"
        ) from error


def _cached(cache: DynamicCache, index: int) -> int:
    """Return the number of values (of keys and values) that a block caches per token; 0 if it caches none."""
    layer: Any = cache.layers[index]
    kept: list[Tensor] = [each for each in (layer.keys, layer.values) if layer.is_initialized and each.ndim == 4]
    return sum(each.numel() // max(each.shape[-2], 1) for each in kept)


def experts_without_values(model: nn.Module) -> list[nn.Module]:
    """Return the modules of experts whose rows depend on values, so that they can't run without weights.

    Experts that all run on every row, such as those of Llama 4 in transformers, run without weights and are counted.
    """
    found = [module for block in find_blocks(model)[1] for module in _experts(block)]
    return [module for module in found if not _runs_on_every_row(module)]


def _runs_on_every_row(experts: nn.Module) -> bool:
    """Return True if a module of experts, called with one row per expert, runs without values and has FLOPs."""
    weights = [weight for weight in experts.parameters(recurse=False) if weight.ndim == 3]
    width = getattr(experts, "hidden_size", None) or weights[0].shape[1]
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), Weightless(), counter:
            experts(torch.empty(len(weights[0]), width, device=META))
    except Exception:  # routed experts need further arguments
        return False
    return counter.get_total_flops() > 0


def _experts(block: nn.Module) -> list[nn.Module]:
    """Return the module of a block that stores the weights of all experts in one tensor, as a list of 0 or 1.

    Raises:
        ValueError: there are several; the config doesn't determine which of them a row runs.
    """
    found = [module for module in block.modules() if any(each.ndim == 3 for each in module.parameters(recurse=False))]
    if len(found) > 1:
        raise ValueError(
            f"a decoder block must have one kind of experts, got {len(found)}: which of them a row runs can't be read "
            "off its config, take another model"
        )
    return found


def _active(model: nn.Module, block: nn.Module, muted: Sequence[nn.Module]) -> int:
    """Return the FLOPs per row of the active experts of a block, if its experts are muted; else 0."""
    experts = [module for module in _experts(block) if module in muted]
    weights = [weight for module in experts for weight in module.parameters(recurse=False) if weight.ndim == 3]
    stacked = sum(weight.numel() // len(weight) for weight in weights)
    return 2 * active_experts(text_config(model)) * stacked if stacked else 0
