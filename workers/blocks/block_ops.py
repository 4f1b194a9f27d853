"""Table of the block ops: the patches that each op makes to the `forward` of a block or its modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from spaces.plan import Block, Op, Scope
from workers.blocks.anatomy import Parts, cache_argument
from workers.blocks.parallel import run_parallel
from workers.blocks.patch import Patch
from workers.blocks.skipped_attention import grow_cache, skip_attention
from workers.blocks.skipped_ffn import skip_ffn
from workers.blocks.token_groups import Watch


def _keep(parts: Parts, block: Block, watch: Watch) -> Iterator[Patch]:
    return iter(())


def _skip_block(parts: Parts, block: Block, watch: Watch) -> Iterator[Patch]:
    if block.scope is not Scope.ALL:
        yield from skip_attention(parts, block, watch)
        yield from skip_ffn(parts, block, watch)
        return
    cached = cache_argument(parts.block)

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not parts.is_cross:
            grow_cache(kwargs.get(cached), parts.attention, hidden_states)
        return hidden_states

    yield parts.block, forward


BLOCK_OPS: dict[Op, Callable[[Parts, Block, Watch], Iterator[Patch]]] = {
    Op.KEEP: _keep,
    Op.SKIP_ATTN: skip_attention,
    Op.SKIP_FFN: skip_ffn,
    Op.SKIP_BLOCK: _skip_block,
    Op.PARALLEL: run_parallel,
    Op.SKIP_CROSS: skip_attention,
}
"""Op of a single block -> function that yields its patches."""
