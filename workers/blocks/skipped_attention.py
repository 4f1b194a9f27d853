"""Patches that skip the self-attention or cross-attention of a block, for all rows or for the rows of a scope.

The KV cache of a block whose attention never runs still grows like those of the other blocks.

Legend: B: sequences; T: rows of the pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import signature
from typing import Any

from torch import Tensor, nn

from spaces.plan import Block, Scope
from workers.blocks.anatomy import CROSS_ARGUMENT, Parts, cache_argument
from workers.blocks.attention_of_rows import attend, attend_across, attend_among, keys_and_values
from workers.blocks.patch import Forward, Patch, identity
from workers.blocks.token_groups import Watch


def skip_attention(parts: Parts, block: Block, watch: Watch) -> Iterator[Patch]:
    """Yield the patches that skip the attention of a block for the rows in scope; the others attend as usual.

    Args:
        parts: parts of the block.
        block: the block of the plan: its op and scope.
        watch: gives the rows that are in scope.
    """
    if block.scope is not Scope.ALL:
        yield parts.attention, (_cross_in_part if parts.is_cross else _attention_in_part)(parts, block, watch)
        return
    cached = cache_argument(parts.attention)

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
        if not parts.is_cross:
            grow_cache(kwargs.get(cached), parts.attention, hidden_states)
        elif kwargs.get(CROSS_ARGUMENT) is not None:
            _hold_cache(kwargs.get(cached), parts.attention, hidden_states)
        return _nothing(hidden_states), None

    yield parts.attention, forward
    if not parts.shares_norm:
        yield parts.attention_norm, identity


def _attention_in_part(parts: Parts, block: Block, watch: Watch) -> Forward:
    """Return a forward with attention for the rows outside the scope; keys and values cover all rows attended to."""
    attention = parts.attention
    before: Callable[..., tuple[Tensor, Any]] = attention.forward
    names, cached = list(signature(before).parameters)[1:], cache_argument(attention)

    def stored(hidden: Tensor, arguments: dict[str, Any]) -> tuple[Tensor, Any]:
        rows, cache = watch.rows(block.scope), arguments.get(cached)
        if rows.all_run:
            return before(hidden_states=hidden, **arguments)
        if rows.none_run and cache is None:
            return _nothing(hidden), None
        made = keys_and_values(attention, before, hidden, arguments, cached)
        if cache is not None:
            made = cache.update(*made, attention.layer_idx)
        if rows.none_run:
            return _nothing(hidden), None
        return attend(attention, before, hidden, arguments, cached, rows, made), None

    def forgotten(hidden: Tensor, arguments: dict[str, Any]) -> tuple[Tensor, Any]:
        rows = watch.rows(block.scope)
        if watch.past and not rows.none_run:
            raise ValueError(
                f"under '{block.name}' a prompt must be read in one pass, since its keys and values are not stored, "
                f"got rows of it after {watch.past} cached tokens: leave prefill_chunk_size out, or use an empty cache"
            )
        grow_cache(arguments.get(cached), attention, hidden)
        if rows.none_run:
            return _nothing(hidden), None
        if rows.all_run:
            mask = arguments.get("attention_mask")
            mask = None if mask is None else mask[..., : hidden.shape[1]]
            return before(hidden_states=hidden, **{**arguments, "attention_mask": mask, cached: None})
        return attend_among(before, hidden, arguments, cached, rows), None

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        arguments = {**dict(zip(names, args, strict=False)), **kwargs}
        return stored(hidden_states, arguments) if block.caches else forgotten(hidden_states, arguments)

    return forward


def _cross_in_part(parts: Parts, block: Block, watch: Watch) -> Forward:
    """Return a forward with cross-attention for the rows outside the scope.

    The first pass computes the keys and values of the image features for all passes, even if only later rows attend.
    """
    attention, cached = parts.attention, cache_argument(parts.attention)
    before: Callable[..., tuple[Tensor, Any]] = attention.forward

    def forward(hidden_states: Tensor, **kwargs: Any) -> tuple[Tensor, Any]:
        rows, cache = watch.rows(block.scope), kwargs.get(cached)
        if rows.all_run:
            return before(hidden_states=hidden_states, **kwargs)
        if not rows.none_run:
            return attend_across(before, hidden_states, kwargs, rows), None
        if block.caches and cache is not None and kwargs.get(CROSS_ARGUMENT) is not None:
            made = keys_and_values(attention, before, hidden_states, kwargs, cached)
            cache.update(*made, attention.layer_idx)
        return _nothing(hidden_states), None

    return forward


def grow_cache(cache: Any, attention: nn.Module, hidden_states: Tensor) -> None:
    """Append placeholders to the KV cache of a layer, as many as attention would have appended keys and values.

    Args:
        cache: the KV cache; nothing happens if it is None.
        attention: the attention module of the layer.
        hidden_states: (B, T, width) input of the layer.
    """
    if cache is not None:
        batch, num_new, _ = hidden_states.shape
        placeholder = hidden_states.new_zeros(batch, 1, num_new, 1)
        cache.update(placeholder, placeholder, attention.layer_idx)


def _hold_cache(cache: Any, attention: nn.Module, hidden_states: Tensor) -> None:
    """Store one zero in place of the keys and values of image features.

    A decoder that finds an empty cache there skips the whole block, including its FFN.
    """
    if cache is not None:
        placeholder = hidden_states.new_zeros(len(hidden_states), 1, 1, 1)
        cache.update(placeholder, placeholder, attention.layer_idx)


def _nothing(hidden_states: Tensor) -> Tensor:
    return hidden_states.new_zeros(()).expand_as(hidden_states)
