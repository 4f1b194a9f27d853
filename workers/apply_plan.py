"""Runs a model under a plan: `with apply_plan(model, plan): ...`.

The `forward` of block parts is replaced on the instances, nothing else: no weight is copied or moved, `state_dict` is
untouched, and on leaving, also by an exception, every instance is as it was.

How a plan meets the KV cache: transformers takes positions and masks from the cache length of one layer, so a block
without attention must still make its layer grow. It appends a placeholder of one number a token, shape (B, 1, q, 1);
real keys and values are neither computed nor stored there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from torch import Tensor, nn

from spaces.plan import Op, Plan, PlanError
from workers.families import DecoderFamily, families_of

Forward = Callable[..., Any]
Patch = tuple[nn.Module, Forward]
"""A module and what it shall run instead of its own forward."""

_ACTIVE: WeakSet[nn.Module] = WeakSet()
"""Block lists that are under a plan right now."""


@contextmanager
def apply_plan(model: nn.Module, plan: Plan) -> Iterator[nn.Module]:
    """Runs `model` under `plan` inside the `with`; yields the model.

    Raises PlanError before anything is changed where the plan has another number of blocks than the model, or where
    the model is under a plan already; ValueError for a model family that no row of `workers.families` describes.
    """
    rows = families_of(model.config.to_dict())
    blocks = model.get_submodule(rows.model.blocks)
    _check(blocks, plan)
    patches = [patch for block, op in zip(blocks, plan.ops, strict=True) for patch in OPS[op](block, rows.decoder)]
    _ACTIVE.add(blocks)
    restore = [(module, vars(module).get("forward")) for module, _ in patches]
    try:
        for module, forward in patches:
            module.forward = forward
        yield model
    finally:
        for module, before in restore:
            _put_back(module, before)
        _ACTIVE.discard(blocks)


def _check(blocks: nn.Module, plan: Plan) -> None:
    if len(plan) != len(blocks):
        raise PlanError(
            f"a plan must have as many blocks as the model, {len(blocks)}, got {len(plan)} in '{plan}': "
            "write one character a block"
        )
    if blocks in _ACTIVE:
        raise PlanError(
            f"a model can be under one plan at a time, got '{plan}' inside another apply_plan: leave the other first"
        )


def _put_back(module: nn.Module, before: Forward | None) -> None:
    """An instance attribute (as other hooking libraries set) comes back; else the class method shows again."""
    if before is None:
        vars(module).pop("forward", None)
    else:
        module.forward = before


def _keep(block: nn.Module, family: DecoderFamily) -> list[Patch]:
    return []


def _skip_attention(block: nn.Module, family: DecoderFamily) -> list[Patch]:
    attention = block.get_submodule(family.attention)

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
        _grow_cache(kwargs.get(family.cache_argument), attention, hidden_states)
        return _nothing(hidden_states), None

    return [(attention, forward), (block.get_submodule(family.attention_norm), _identity)]


def _skip_ffn(block: nn.Module, family: DecoderFamily) -> list[Patch]:
    return [(block.get_submodule(family.ffn), _nothing), (block.get_submodule(family.ffn_norm), _identity)]


def _skip_block(block: nn.Module, family: DecoderFamily) -> list[Patch]:
    attention = block.get_submodule(family.attention)

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        _grow_cache(kwargs.get(family.cache_argument), attention, hidden_states)
        return hidden_states

    return [(block, forward)]


def _parallel(block: nn.Module, family: DecoderFamily) -> list[Patch]:
    """Feeds the FFN's norm with what the attention's norm was fed: the input of the block."""
    attention_norm = block.get_submodule(family.attention_norm)
    ffn_norm = block.get_submodule(family.ffn_norm)
    before_attention, before_ffn = attention_norm.forward, ffn_norm.forward
    block_input: list[Tensor] = []

    def remember(hidden_states: Tensor) -> Tensor:
        block_input[:] = [hidden_states]
        return before_attention(hidden_states)

    def replay(hidden_states: Tensor) -> Tensor:
        return before_ffn(block_input.pop())

    return [(attention_norm, remember), (ffn_norm, replay)]


OPS: dict[Op, Callable[[nn.Module, DecoderFamily], list[Patch]]] = {
    Op.KEEP: _keep,
    Op.SKIP_ATTN: _skip_attention,
    Op.SKIP_FFN: _skip_ffn,
    Op.SKIP_BLOCK: _skip_block,
    Op.PARALLEL: _parallel,
}
"""What each op patches in one block."""


def _identity(hidden_states: Tensor) -> Tensor:
    return hidden_states


def _nothing(hidden_states: Tensor) -> Tensor:
    """Zeros of the same shape without memory of their own: what a skipped sub-layer adds to the residual."""
    return hidden_states.new_zeros(()).expand_as(hidden_states)


def _grow_cache(cache: Any, attention: nn.Module, hidden_states: Tensor) -> None:
    """Makes the layer's cache as long as if attention had run."""
    if cache is not None:
        batch, num_new, _ = hidden_states.shape
        placeholder = hidden_states.new_zeros(batch, 1, num_new, 1)
        cache.update(placeholder, placeholder, attention.layer_idx)
