"""Patches that skip the FFN of a block, for all rows or for the rows of a scope."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from spaces.plan import Block, Scope
from workers.blocks.anatomy import Parts
from workers.blocks.attention_of_rows import put
from workers.blocks.patch import Forward, Patch, identity
from workers.blocks.token_groups import Watch
from workers.blocks.zero_output import mute


def skip_ffn(parts: Parts, block: Block, watch: Watch) -> Iterator[Patch]:
    """Yield the patches that skip the FFN of a block for the rows in scope; the others run it as usual.

    Args:
        parts: parts of the block.
        block: the block of the plan: its op and scope.
        watch: gives the rows that are in scope.
    """
    if block.scope is not Scope.ALL:
        yield from ((module, _ffn_in_part(module, parts.ffn_extras, block, watch)) for module in parts.ffn)
        return
    yield from ((module, mute(module, parts.ffn_extras)) for module in parts.ffn)
    if not parts.shares_norm:
        yield parts.ffn_norm, identity


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
