"""Self-attention for some rows of a pass only, through the model's own attention module.

The module runs twice with parts of it muted: once for the keys and values of every row that is attended to, with the
queries muted, once for the rows that attend, with keys and values muted. A stand-in for the KV cache takes the keys
and values out of the first run and hands them to the second. Positions, norms of queries and keys, grouped heads and
scaling are so always the module's own. Muted projections are not executed at all.

Legend: B sequences, T rows of the pass, K keys (cached ones included), Q rows that attend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from workers.blocks.mute import mute
from workers.blocks.patch import patched
from workers.blocks.token_groups import Rows

Forward = Callable[..., Any]
QUERY, KEY, VALUE = "q_proj", "k_proj", "v_proj"


class _Caught(Exception):
    """Ends the run for keys and values as soon as they are there."""


class _Catcher:
    """In place of a KV cache: takes what the module would store, and stops it."""

    def update(self, keys: Tensor, values: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        self.caught = keys, values
        raise _Caught


class _Supplier:
    """In place of a KV cache: hands out keys and values made before."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.made = keys, values

    def update(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        return self.made


def keys_and_values(
    attention: nn.Module, forward: Forward, hidden: Tensor, arguments: Mapping[str, Any], cache_argument: str
) -> tuple[Tensor, Tensor]:
    """Keys and values (B, heads, T, head size) of rows (B, T, width), without queries or scores."""
    catcher = _Catcher()
    with _muted(attention, QUERY):
        try:
            forward(hidden_states=hidden, **{**arguments, cache_argument: catcher})
        except _Caught:
            return catcher.caught
    raise AssertionError("an attention module must hand its keys and values to the cache")


def attend(
    attention: nn.Module,
    forward: Forward,
    hidden: Tensor,
    arguments: Mapping[str, Any],
    cache_argument: str,
    rows: Rows,
    made: tuple[Tensor, Tensor],
) -> Tensor:
    """(B, T, width): the attention of the rows outside of a scope, zeros for the others.

    Args:
        hidden: (B, T, width) normalized input of the block.
        arguments: what the block passes to its attention for all T rows, the hidden states aside.
        made: keys and values (B, heads, K, head size) that the rows may attend to under the attention mask.
    """
    picked = _picked(arguments, hidden, rows)
    picked["attention_mask"] = _pick_queries(_mask(arguments, hidden, made[0].shape[-2]), rows.column)
    picked[cache_argument] = _Supplier(*made)
    with _muted(attention, KEY, VALUE):
        output = forward(hidden_states=_pick_rows(hidden, rows.column), **picked)[0]
    return put(output.flatten(0, 1)[rows.place], rows, hidden)


def attend_among(
    forward: Forward, hidden: Tensor, arguments: Mapping[str, Any], cache_argument: str, rows: Rows
) -> Tensor:
    """(B, T, width): rows outside of a scope attend to each other only; zeros for the rows in scope."""
    mask = _pick_queries(_mask(arguments, hidden, hidden.shape[1]), rows.column)
    mask = _pick_queries(mask.mT, rows.column).mT
    blocked = torch.zeros_like(rows.column, dtype=torch.bool).view(-1).index_fill(0, rows.place, True).logical_not()
    blocked = blocked.view(len(mask), 1, 1, -1)
    mask = mask.masked_fill(blocked, False if mask.dtype == torch.bool else torch.finfo(mask.dtype).min)
    picked = {**_picked(arguments, hidden, rows), "attention_mask": mask, cache_argument: None}
    output = forward(hidden_states=_pick_rows(hidden, rows.column), **picked)[0]
    return put(output.flatten(0, 1)[rows.place], rows, hidden)


def attend_across(forward: Forward, hidden: Tensor, arguments: Mapping[str, Any], rows: Rows) -> Tensor:
    """(B, T, width): cross-attention of the rows outside of a scope, zeros for the others.

    `arguments`: what the block passes to its attention; the mask (B, 1, T, K) is over K rows of image features.
    """
    mask = arguments.get("attention_mask")
    picked = {**arguments, "attention_mask": None if mask is None else _pick_queries(mask, rows.column)}
    output = forward(hidden_states=_pick_rows(hidden, rows.column), **picked)[0]
    return put(output.flatten(0, 1)[rows.place], rows, hidden)


def put(values: Tensor, rows: Rows, like: Tensor) -> Tensor:
    """A tensor with the leading shape of `like`: `values` (N, width) at the rows outside, zeros at the others."""
    empty = values.new_zeros(like.shape[:-1].numel(), values.shape[-1])
    return empty.index_put((rows.flat,), values).view(*like.shape[:-1], -1)


def _picked(arguments: Mapping[str, Any], hidden: Tensor, rows: Rows) -> dict[str, Any]:
    """The arguments for the rows that attend only; the mask is another matter."""
    others = {name: value for name, value in arguments.items() if name != "attention_mask"}
    return {name: _pick(value, hidden.shape[1], rows.column) for name, value in others.items()}


def _pick(value: Any, num_rows: int, column: Tensor) -> Any:
    """The rows that attend out of an argument that has T rows: positions, rotary tables; anything else as it is."""
    if isinstance(value, tuple):
        return tuple(_pick(each, num_rows, column) for each in value)
    if not isinstance(value, Tensor):
        return value
    if value.is_floating_point() and value.ndim >= 3 and value.shape[-2] == num_rows:
        return _pick_rows(value, column)
    if not value.is_floating_point() and value.ndim >= 2 and value.shape[-1] == num_rows:
        return _pick_rows(value[..., None], column)[..., 0]
    return value


def _pick_rows(value: Tensor, column: Tensor) -> Tensor:
    """(..., B, Q, width) out of (..., B or 1, T, width)."""
    batch, width = len(column), value.shape[-1]
    value = value.expand(*value.shape[:-3], batch, *value.shape[-2:])
    index = column[..., None].expand(*value.shape[:-3], *column.shape, width)
    return value.gather(-2, index)


def _pick_queries(mask: Tensor, column: Tensor) -> Tensor:
    """(B, 1 or heads, Q, K) out of a mask (B or 1, 1 or heads, T, K)."""
    mask = mask.expand(len(column), -1, -1, -1)
    index = column[:, None, :, None].expand(-1, mask.shape[1], -1, mask.shape[-1])
    return mask.gather(2, index)


def _mask(arguments: Mapping[str, Any], hidden: Tensor, num_keys: int) -> Tensor:
    """The mask (B or 1, 1 or heads, T, K) the block was given; no mask stands for a causal one."""
    mask = arguments.get("attention_mask")
    if mask is not None:
        return mask
    num_rows = hidden.shape[1]
    seen = torch.ones(1, 1, num_rows, num_keys, dtype=torch.bool, device=hidden.device).tril(num_keys - num_rows)
    return torch.zeros_like(seen, dtype=hidden.dtype).masked_fill(~seen, torch.finfo(hidden.dtype).min)


@contextmanager
def _muted(attention: nn.Module, *names: str) -> Iterator[None]:
    """Makes projections return zeros that take neither work nor memory."""
    modules = [attention.get_submodule(name) for name in names]
    with patched([(module, "forward", mute(module)) for module in modules]):
        yield
