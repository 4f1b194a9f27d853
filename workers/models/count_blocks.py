"""Counts the FLOPs of decoder blocks on a decoder without weights: attention, keys and values, and FFN apart."""

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
"""Keys of a text config that hold the number of experts that run for a row."""


@dataclass(frozen=True)
class BlockCount:
    """FLOPs of one block in one prefill."""

    attention: int
    keys: int
    """Those of the projections of keys and values, which are part of `attention`; 0 where they are not apart."""
    ffn: int
    """All others of the block."""
    cached: int
    """Keys and values that are cached per token."""


@dataclass(frozen=True)
class Count:
    """FLOPs of all blocks for a prompt."""

    rows: int
    """Tokens of the prompt."""
    blocks: tuple[BlockCount, ...]
    prefill: int
    decode: int
    """FLOPs of one decode step after the prompt."""


def count_blocks(model: nn.Module, rows: int) -> Count:
    """Return the FLOPs that torch counts in the blocks of a decoder, for a prompt and one token after it.

    Args:
        model: without weights, with eager attention.
        rows: tokens of the prompt.

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
    """Run the decoder of a model without weights on a prompt.

    Experts that are chosen by values return zeros. Raises ValueError where another part needs values.
    """
    _run(model, rows, None, experts_without_values(model), None)


def has_fused_projections(block: nn.Module) -> bool:
    """Return True if the attention of a block can't be run on some rows: see `workers.apply_plan.check_ops`."""
    return not all(hasattr(attention_of(block), name) for name in (QUERY, KEY, VALUE, "config"))


def active_experts(text: Any) -> int:
    """Return the number of experts that run for a row. Raises ValueError where the config doesn't say."""
    found = next((number for name in ACTIVE_EXPERTS if (number := getattr(text, name, None))), None)
    if not isinstance(found, int):
        raise ValueError(
            f"the config of a mixture of experts must have {', '.join(ACTIVE_EXPERTS)}, got none in the text decoder "
            f"{text.model_type!r}: take another model"
        )
    return found


class _Spent:
    """Collects FLOPs per block: of the whole block, of its attention, and of its keys and values."""

    def __init__(self, blocks: nn.ModuleList) -> None:
        self._parts: list[tuple[list[nn.Module], ...]] = []
        for block in blocks:
            attention = attention_of(block)
            apart = [] if has_fused_projections(block) else [attention.get_submodule(name) for name in (KEY, VALUE)]
            self._parts.append(([block], [attention], apart))
        self._totals: dict[nn.Module, int] = {}

    def watch(self, counter: FlopCounterMode, stack: ExitStack) -> None:
        """Add hooks, until `stack` ends, that add what is counted inside of a module to its total."""

        def begin(module: nn.Module, *_: Any) -> None:
            self._totals[module] = self._totals.get(module, 0) - counter.get_total_flops()

        def end(module: nn.Module, *_: Any) -> None:
            self._totals[module] += counter.get_total_flops()

        for module in (module for parts in self._parts for part in parts for module in part):
            stack.callback(module.register_forward_pre_hook(begin).remove)
            stack.callback(module.register_forward_hook(end).remove)

    def take(self) -> list[tuple[int, ...]]:
        """Return FLOPs of (block, attention, keys and values) per block, and start again from 0."""
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
    """Run the decoder on `rows` tokens after `before` cached ones. Raises ValueError in one line."""
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
    """Return the keys and values that a block caches per token; 0 where it caches none."""
    layer: Any = cache.layers[index]
    kept: list[Tensor] = [each for each in (layer.keys, layer.values) if layer.is_initialized and each.ndim == 4]
    return sum(each.numel() // max(each.shape[-2], 1) for each in kept)


def experts_without_values(model: nn.Module) -> list[nn.Module]:
    """Return the modules of experts that must be muted, because the rows they run on depend on values.

    Experts that run on every row, as those of Llama 4 do in transformers, run without weights and are counted.
    """
    found = [module for block in find_blocks(model)[1] for module in _experts(block)]
    return [module for module in found if not _runs_on_every_row(module)]


def _runs_on_every_row(experts: nn.Module) -> bool:
    """Return True if experts given one row per expert and token run without values, and are counted."""
    weights = [weight for weight in experts.parameters(recurse=False) if weight.ndim == 3]
    width = getattr(experts, "hidden_size", None) or weights[0].shape[1]
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), Weightless(), counter:
            experts(torch.empty(len(weights[0]), width, device=META))
    except Exception:  # routed experts lack their routes
        return False
    return counter.get_total_flops() > 0


def _experts(block: nn.Module) -> list[nn.Module]:
    """Return the modules of a block that store the weights of all experts in one tensor.

    Raises ValueError where there are several, since the config doesn't say which of them a row runs.
    """
    found = [module for module in block.modules() if any(each.ndim == 3 for each in module.parameters(recurse=False))]
    if len(found) > 1:
        raise ValueError(
            f"a decoder block must have one kind of experts, got {len(found)}: which of them a row runs can't be read "
            "off its config, take another model"
        )
    return found


def _active(model: nn.Module, block: nn.Module, muted: Sequence[nn.Module]) -> int:
    """Return the FLOPs per row of the muted experts of a block: those of the active ones."""
    experts = [module for module in _experts(block) if module in muted]
    weights = [weight for module in experts for weight in module.parameters(recurse=False) if weight.ndim == 3]
    stacked = sum(weight.numel() // len(weight) for weight in weights)
    return 2 * active_experts(text_config(model)) * stacked if stacked else 0
