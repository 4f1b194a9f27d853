"""Patches for each block op: they replace the `forward` of the attention, the norms, the FFN or the whole block.

Legend: B: sequences; T: rows of the pass; x: input of the block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from spaces.plan import Block, Op, Scope, Variant
from workers.blocks.anatomy import CROSS_ARGUMENT, Parts, cache_argument
from workers.blocks.mute import mute
from workers.blocks.part_attention import attend, attend_across, attend_among, keys_and_values, put
from workers.blocks.token_groups import Watch

Forward = Callable[..., Any]
Patch = tuple[nn.Module, Forward]
"""A module and the function that replaces its `forward`."""


def _keep(parts: Parts, block: Block, watch: Watch) -> Iterator[Patch]:
    return iter(())


def _skip_attention(parts: Parts, block: Block, watch: Watch) -> Iterator[Patch]:
    if block.scope is not Scope.ALL:
        yield parts.attention, (_cross_in_part if parts.is_cross else _attention_in_part)(parts, block, watch)
        return
    cached = cache_argument(parts.attention)

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
        if not parts.is_cross:
            _grow_cache(kwargs.get(cached), parts.attention, hidden_states)
        elif kwargs.get(CROSS_ARGUMENT) is not None:
            _hold_cache(kwargs.get(cached), parts.attention, hidden_states)
        return _nothing(hidden_states), None

    yield parts.attention, forward
    yield from _without_norm(parts, parts.attention_norm)


def _skip_ffn(parts: Parts, block: Block, watch: Watch) -> Iterator[Patch]:
    if block.scope is not Scope.ALL:
        yield from ((module, _ffn_in_part(module, parts.ffn_extras, block, watch)) for module in parts.ffn)
        return
    yield from ((module, mute(module, parts.ffn_extras)) for module in parts.ffn)
    yield from _without_norm(parts, parts.ffn_norm)


def _skip_block(parts: Parts, block: Block, watch: Watch) -> Iterator[Patch]:
    if block.scope is not Scope.ALL:
        yield from _skip_attention(parts, block, watch)
        yield from _skip_ffn(parts, block, watch)
        return
    cached = cache_argument(parts.block)

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not parts.is_cross:
            _grow_cache(kwargs.get(cached), parts.attention, hidden_states)
        return hidden_states

    yield parts.block, forward


def _parallel(parts: Parts, block: Block, watch: Watch) -> Iterator[Patch]:
    """Yield patches that make the FFN's norm read x, the input of the attention's norm, for rows in scope."""
    before_attention, before_ffn = parts.attention_norm.forward, parts.ffn_norm.forward
    block_input: list[Tensor] = []

    def remember(hidden_states: Tensor) -> Tensor:
        block_input[:] = [hidden_states]
        return before_attention(hidden_states)

    def replay(hidden_states: Tensor) -> Tensor:
        x = block_input.pop().view_as(hidden_states)
        return before_ffn(_choose(x, hidden_states, block.scope, watch))

    yield parts.attention_norm, remember
    yield parts.ffn_norm, replay


def join_pair(first: Parts, second: Parts, pair: Block, watch: Watch) -> Iterator[Patch]:
    """Yield patches that run two blocks on the same input x and add the sum or the mean of their outputs to it.

    Rows out of scope run the blocks in sequence. Whatever the model adds to the residual between the two blocks is
    kept.

    Args:
        first: parts of the first block.
        second: parts of the block after it.
        pair: the op of the pair: its scope, and its variant (sum or mean).
        watch: gives the rows that are in scope.
    """
    before_first, before_second = first.block.forward, second.block.forward
    memory: list[tuple[Tensor, Tensor]] = []

    def run_first(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        output = before_first(hidden_states, *args, **kwargs)
        memory[:] = [(hidden_states, output - hidden_states)]
        return output

    def run_second(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        x, first_delta = memory.pop()
        read = _choose(x, hidden_states, pair.scope, watch)
        output = before_second(read, *args, **kwargs)
        delta = output - read
        if pair.variant is Variant.MEAN:
            delta = (delta - first_delta) / 2
        return _choose(hidden_states + delta, output, pair.scope, watch)

    yield first.block, run_first
    yield second.block, run_second


BLOCK_OPS: dict[Op, Callable[[Parts, Block, Watch], Iterator[Patch]]] = {
    Op.KEEP: _keep,
    Op.SKIP_ATTN: _skip_attention,
    Op.SKIP_FFN: _skip_ffn,
    Op.SKIP_BLOCK: _skip_block,
    Op.PARALLEL: _parallel,
    Op.SKIP_CROSS: _skip_attention,
}
"""Op of a single block -> function that yields its patches."""


def _attention_in_part(parts: Parts, block: Block, watch: Watch) -> Forward:
    """Return a forward with attention for the rows outside the scope; keys and values cover all rows attended to."""
    attention, before = parts.attention, parts.attention.forward
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
                f"under '{block.name}' a prompt must be read in one pass, as its keys and values are not kept, "
                f"got rows of it after {watch.past} cached tokens: leave prefill_chunk_size out, start an empty cache"
            )
        _grow_cache(arguments.get(cached), attention, hidden)
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
    attention, before, cached = parts.attention, parts.attention.forward, cache_argument(parts.attention)

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


def _ffn_in_part(module: nn.Module, extras: int, block: Block, watch: Watch) -> Forward:
    """Return a forward that runs the module on the rows outside the scope and gives zeros for the others."""
    before, muted = module.forward, mute(module, extras)

    def forward(hidden_states: Tensor) -> Any:
        rows = watch.rows(block.scope)
        if rows.all_run:
            return before(hidden_states)
        if rows.none_run:
            return muted(hidden_states)
        gathered = hidden_states.reshape(-1, hidden_states.shape[-1])[rows.flat]
        made = before(gathered[None])
        values, others = (made[0], made[1:]) if extras else (made, ())
        whole = put(values.reshape(-1, values.shape[-1]), rows, hidden_states)  # some modules return (rows, width)
        return (whole, *others) if extras else whole

    return forward


def _without_norm(parts: Parts, norm: nn.Module) -> Iterator[Patch]:
    """Yield the patch that removes the norm of a skipped sub-layer, unless the other sub-layer reads it too."""
    if parts.attention_norm is not parts.ffn_norm:
        yield norm, _identity


def _choose(inside: Tensor, outside: Tensor, scope: Scope, watch: Watch) -> Tensor:
    """Return a tensor (..., width) with the rows in scope from `inside` and the other rows from `outside`."""
    if scope is Scope.ALL:
        return inside
    return torch.where(watch.rows(scope).inside.view(*inside.shape[:-1], 1), inside, outside)


def _identity(hidden_states: Tensor) -> Tensor:
    return hidden_states


def _nothing(hidden_states: Tensor) -> Tensor:
    return hidden_states.new_zeros(()).expand_as(hidden_states)


def _grow_cache(cache: Any, attention: nn.Module, hidden_states: Tensor) -> None:
    """Make the cache of a layer as long as if attention had stored its keys and values."""
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
