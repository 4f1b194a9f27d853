"""Self-attention for a subset of the rows of a pass, computed by the model's own attention module.

The module runs twice. The first run, with the query projection muted, computes the keys and values of every row that
is attended to. The second run, with the key and value projections muted, computes attention for the rows that attend.
A replacement for the KV cache passes the keys and values from the first run to the second. Positions, query and key
norms, grouped heads and scaling therefore stay those of the module. Muted projections are not executed.

Legend: B: sequences; T: rows of the pass; K: keys, including cached ones; Q: rows that attend; N: rows outside the
scope in the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from workers.blocks.patch import Forward, patched
from workers.blocks.token_groups import Rows
from workers.blocks.zero_output import mute

QUERY, KEY, VALUE = "q_proj", "k_proj", "v_proj"
"""Names of the projections of an attention module."""


class _Caught(Exception):
    """Ends the run for keys and values as soon as they are computed."""


class _Catcher:
    """Replacement for a KV cache that keeps the keys and values and stops the module."""

    def update(self, keys: Tensor, values: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        self.caught = keys, values
        raise _Caught


class _Supplier:
    """Replacement for a KV cache that returns given keys and values."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.made = keys, values

    def update(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        return self.made


def keys_and_values(
    attention: nn.Module, forward: Forward, hidden: Tensor, arguments: Mapping[str, Any], cache_argument: str
) -> tuple[Tensor, Tensor]:
    """Return the keys and values of all rows, computed without queries or attention scores.

    Args:
        attention: the attention module.
        forward: its own forward.
        hidden: (B, T, width) normalized input of the block.
        arguments: keyword arguments that the block passes to its attention, except the hidden states.
        cache_argument: name of the argument for the KV cache.

    Returns:
        Keys and values, each (B, heads, T, head size).
    """
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
    """Return the attention output of the rows outside a scope, and zeros for the others, (B, T, width).

    Args:
        attention: the attention module.
        forward: its own forward.
        hidden: (B, T, width) normalized input of the block.
        arguments: keyword arguments that the block passes to its attention for all T rows, except the hidden states.
        cache_argument: name of the argument for the KV cache.
        rows: the rows outside the scope.
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
    """Return the attention output of rows outside a scope that attend to each other only, (B, T, width).

    Rows in scope get zeros.

    Args:
        forward, hidden, arguments, cache_argument, rows: as in `attend`.
    """
    mask = _pick_queries(_mask(arguments, hidden, hidden.shape[1]), rows.column)
    mask = _pick_queries(mask.mT, rows.column).mT
    blocked = torch.zeros_like(rows.column, dtype=torch.bool).view(-1).index_fill(0, rows.place, True).logical_not()
    blocked = blocked.view(len(mask), 1, 1, -1)
    mask = mask.masked_fill(blocked, False if mask.dtype == torch.bool else torch.finfo(mask.dtype).min)
    picked = {**_picked(arguments, hidden, rows), "attention_mask": mask, cache_argument: None}
    output = forward(hidden_states=_pick_rows(hidden, rows.column), **picked)[0]
    return put(output.flatten(0, 1)[rows.place], rows, hidden)


def attend_across(forward: Forward, hidden: Tensor, arguments: Mapping[str, Any], rows: Rows) -> Tensor:
    """Return the cross-attention output of the rows outside a scope, and zeros for the others, (B, T, width).

    Args:
        forward: the forward of the attention module.
        hidden: (B, T, width) normalized input of the block.
        arguments: keyword arguments that the block passes to its attention, except the hidden states; the mask
            (B, 1, T, K) is over K rows of image features.
        rows: the rows outside the scope.
    """
    mask = arguments.get("attention_mask")
    picked = {**arguments, "attention_mask": None if mask is None else _pick_queries(mask, rows.column)}
    output = forward(hidden_states=_pick_rows(hidden, rows.column), **picked)[0]
    return put(output.flatten(0, 1)[rows.place], rows, hidden)


def put(values: Tensor, rows: Rows, like: Tensor) -> Tensor:
    """Return a tensor (B, T, width) with `values` at the rows outside the scope and zeros elsewhere.

    Args:
        values: (N, width).
        rows: the N rows outside the scope.
        like: (B, T, any width), gives the leading shape.
    """
    empty = values.new_zeros(like.shape[:-1].numel(), values.shape[-1])
    return empty.index_put((rows.flat,), values).view(*like.shape[:-1], -1)


def _picked(arguments: Mapping[str, Any], hidden: Tensor, rows: Rows) -> dict[str, Any]:
    """Return the arguments, except the mask, reduced to the rows that attend."""
    others = {name: value for name, value in arguments.items() if name != "attention_mask"}
    return {name: _pick(value, hidden.shape[1], rows.column) for name, value in others.items()}


def _pick(value: Any, num_rows: int, column: Tensor) -> Any:
    """Return an argument with T rows (positions, rotary tables) reduced to the rows that attend; others unchanged."""
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
    """Gather (..., B, Q, width) from (..., B or 1, T, width) by `column` (B, Q)."""
    batch, width = len(column), value.shape[-1]
    value = value.expand(*value.shape[:-3], batch, *value.shape[-2:])
    index = column[..., None].expand(*value.shape[:-3], *column.shape, width)
    return value.gather(-2, index)


def _pick_queries(mask: Tensor, column: Tensor) -> Tensor:
    """Gather (B, 1 or heads, Q, K) from a mask (B or 1, 1 or heads, T, K) by `column` (B, Q)."""
    mask = mask.expand(len(column), -1, -1, -1)
    index = column[:, None, :, None].expand(-1, mask.shape[1], -1, mask.shape[-1])
    return mask.gather(2, index)


def _mask(arguments: Mapping[str, Any], hidden: Tensor, num_keys: int) -> Tensor:
    """Return the mask passed to the block, (B or 1, 1 or heads, T, K); a causal one if it is None."""
    mask: Tensor | None = arguments.get("attention_mask")
    if mask is not None:
        return mask
    num_rows = hidden.shape[1]
    seen = torch.ones(1, 1, num_rows, num_keys, dtype=torch.bool, device=hidden.device).tril(num_keys - num_rows)
    return torch.zeros_like(seen, dtype=hidden.dtype).masked_fill(~seen, torch.finfo(hidden.dtype).min)


@contextmanager
def _muted(attention: nn.Module, *names: str) -> Iterator[None]:
    """Make projections of an attention module return zeros, inside the `with` block."""
    modules = [attention.get_submodule(name) for name in names]
    with patched([(module, "forward", mute(module)) for module in modules]):
        yield
