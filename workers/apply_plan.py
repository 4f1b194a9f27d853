"""Runs a model under a plan: `with apply_plan(model, plan): ...`.

Only the `forward` of parts of blocks is replaced, on the instances. No weight is copied or moved, `state_dict` is
unchanged, and all instances are restored when the `with` block ends, also by an exception.

KV cache: transformers derives positions and masks from the cache length of one layer, so the cache of a block that
stores no keys and values must grow as well. A placeholder of one number per token is appended, shape (B, 1, q, 1). Keys
and values of tokens that skip attention are computed and stored if later tokens attend to them in this block (scopes
visual and prompt); otherwise they are not computed (scopes all and generated).

Scope: a sub-layer that an op skips is computed only for the rows (tokens) outside the op's scope; to the residual
stream of the rows in scope it adds nothing. `workers.blocks.token_groups` assigns rows to groups. Pruning applies to
all tokens; it is set before the ops, which run the remaining weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from weakref import WeakSet

from torch import nn

from spaces.plan import Op, Plan, PlanError, Scope
from workers.blocks.anatomy import CACHE_ARGUMENT, Parts, anatomy_of, find_blocks
from workers.blocks.attention_of_rows import KEY, QUERY, VALUE
from workers.blocks.block_ops import BLOCK_OPS
from workers.blocks.parallel import join_pair
from workers.blocks.patch import Patch, patched
from workers.blocks.token_groups import Watch
from workers.pruning.apply import pruned
from workers.pruning.inputs import PruningInputs

_ACTIVE: WeakSet[nn.Module] = WeakSet()
"""Block lists that a plan is currently applied to."""


@contextmanager
def apply_plan(model: nn.Module, plan: Plan, inputs: PruningInputs | None = None) -> Iterator[nn.Module]:
    """Apply a plan to a model inside the `with` block, and yield the model.

    Args:
        model: a supported model of transformers.
        plan: one block per decoder block of the model.
        inputs: norms and masks for blocks pruned by Wanda, to a width, or by a saved mask; not needed for pruning by
            magnitude.

    Raises:
        PlanError: the plan has another number of blocks, a block does not support its op, a plan is already applied to
            the model, or `inputs` lack norms or masks. The model is unchanged.
    """
    _, blocks = find_blocks(model)
    _check_fit(blocks, plan)
    anatomy = anatomy_of(model)
    parts, watch = anatomy.parts, Watch(anatomy.image_tokens)
    check_ops(plan, parts)
    with ExitStack() as stack:
        _ACTIVE.add(blocks)
        stack.callback(_ACTIVE.discard, blocks)
        if any(block.scope is not Scope.ALL for block in plan.blocks):
            stack.enter_context(watch.on(model, anatomy.decoder, CACHE_ARGUMENT))
        stack.enter_context(pruned(parts, plan, inputs or PruningInputs()))
        for module, forward in _patches(plan, parts, watch):
            stack.enter_context(patched([(module, "forward", forward)]))
        yield model


def _patches(plan: Plan, parts: Sequence[Parts], watch: Watch) -> Iterator[Patch]:
    for index, block in enumerate(plan.blocks):
        if block.op is Op.PAIR:
            yield from join_pair(parts[index], parts[index + 1], block, watch)
        elif block.op is not Op.PAIRED:
            yield from BLOCK_OPS[block.op](parts[index], block, watch)


def _check_fit(blocks: nn.ModuleList, plan: Plan) -> None:
    if len(plan) != len(blocks):
        raise PlanError(
            f"a plan must have as many blocks as the model, {len(blocks)}, got {len(plan)} in '{plan}': "
            "write one character per block"
        )
    if blocks in _ACTIVE:
        raise PlanError(
            f"a model can be under one plan at a time, got '{plan}' inside another apply_plan: end the other first"
        )


def check_ops(plan: Plan, parts: Sequence[Parts]) -> None:
    """Check that every block supports its op.

    Self-attention for part of the rows requires separate projections of queries, keys and values, and an attention
    implementation with an explicit mask.

    Args:
        plan: the plan to check.
        parts: the parts of the model's blocks, one per block of the plan.

    Raises:
        PlanError: a block does not; the message names block, op and reason.
    """
    for index, (block, part) in enumerate(zip(plan.blocks, parts, strict=True)):
        reason = part.kind.refusal(block.op)
        if reason is not None:
            raise PlanError(f"a block must support its op, got '{block.name}' at block {index}: {reason}")
        if block.op.runs_attention or block.scope is Scope.ALL or part.is_cross:
            continue
        where = f"got '{block.name}' at block {index}"
        missing = [name for name in (QUERY, KEY, VALUE) if not hasattr(part.attention, name)]
        if missing:
            raise PlanError(
                f"attention can be skipped by scope if {QUERY}, {KEY} and {VALUE} are separate, {where}, which has no "
                f"{missing[0]}: skip it for all tokens"
            )
        kind = getattr(getattr(part.attention, "config", None), "_attn_implementation", "an attention of its own")
        if kind not in ("eager", "sdpa"):
            raise PlanError(
                f"attention can be skipped by scope with eager or sdpa attention, {where} with {kind}: "
                "load the model with attn_implementation='sdpa'"
            )
