"""Patches that run attention and FFN of a block in parallel, or two blocks in parallel: both read the same input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from spaces.plan import Block, Scope, Variant
from workers.blocks.anatomy import Parts
from workers.blocks.patch import Patch
from workers.blocks.token_groups import Watch


def run_parallel(parts: Parts, block: Block, watch: Watch) -> Iterator[Patch]:
    """Yield patches that make the FFN's norm read the input of the attention's norm, for rows in scope.

    Args:
        parts: parts of the block.
        block: the block of the plan: its op and scope.
        watch: gives the rows that are in scope.
    """
    before_attention: Callable[[Tensor], Tensor] = parts.attention_norm.forward
    before_ffn: Callable[[Tensor], Tensor] = parts.ffn_norm.forward
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
    """Yield patches that run two blocks on the same input and add the sum or the mean of their outputs to it.

    Rows out of scope run the blocks in sequence. If the model changes the hidden states between the two blocks, that
    change is kept.

    Args:
        first: parts of the first block.
        second: parts of the block after it.
        pair: the op of the pair: its scope, and its variant (sum or mean).
        watch: gives the rows that are in scope.
    """
    before_first: Callable[..., Tensor] = first.block.forward
    before_second: Callable[..., Tensor] = second.block.forward
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


def _choose(inside: Tensor, outside: Tensor, scope: Scope, watch: Watch) -> Tensor:
    """Return a tensor (..., width) with the rows in scope from `inside` and the other rows from `outside`."""
    if scope is Scope.ALL:
        return inside
    return torch.where(watch.rows(scope).inside.view(*inside.shape[:-1], 1), inside, outside)
