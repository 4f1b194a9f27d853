"""Converts plans to JSON and back; an invalid plan raises an error of one line."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from spaces.block import Block, PlanError, Variant, as_op, as_scope, as_variant
from spaces.plan_pruning import gathered, spread
from spaces.pruning_forms import pruning_fields, pruning_of_fields
from spaces.scope import Scope

SCHEMA = 1
"""Version of the JSON form."""
_PLAN_KEYS = ("schema", "blocks", "pruning")
_BLOCK_KEYS = ("op", "scope", "variant", "pruning")
_EXAMPLE = '{"schema": 1, "blocks": [{"op": "keep"}, {"op": "skip_attn"}], "pruning": null}'


def blocks_of(source: str | Mapping[str, Any]) -> tuple[Block, ...]:
    """Return the blocks of a plan given as JSON text or as the decoded mapping.

    Raises:
        PlanError: the JSON is invalid, has another schema version, or an unknown key, op or type.
    """
    plan = _decoded(source) if isinstance(source, str) else source
    if not isinstance(plan, Mapping):
        raise PlanError(f"a plan in JSON must be an object, got {_kind(plan)}: write {_EXAMPLE}")
    _check_schema(plan)
    _check_keys(plan, _PLAN_KEYS, "a plan")
    blocks = plan.get("blocks")
    if not isinstance(blocks, list | tuple) or not blocks:
        raise PlanError(f"the blocks of a plan must be a list of objects, got {blocks!r}: write {_EXAMPLE}")
    read = tuple(_block(i, block) for i, block in enumerate(blocks))
    if plan.get("pruning") is None:
        return read
    return spread(pruning_of_fields(plan["pruning"], " of a plan"), read)


def plan_fields(blocks: Sequence[Block]) -> dict[str, Any]:
    """Return the JSON object of a plan; a pruning common to all blocks is stored once, for the plan."""
    whole = gathered(blocks)
    fields = [_block_fields(block if whole is None else block.pruned(None)) for block in blocks]
    return {"schema": SCHEMA, "blocks": fields, "pruning": pruning_fields(whole) if whole else None}


def _block_fields(block: Block) -> dict[str, Any]:
    """Return the JSON object of one block, without default values, so that digests stay the same."""
    fields: dict[str, Any] = {"op": str(block.op)}
    if block.scope is not Scope.ALL:
        fields["scope"] = str(block.scope)
    if block.variant is not Variant.SUM:
        fields["variant"] = str(block.variant)
    if block.pruning is not None:
        fields["pruning"] = pruning_fields(block.pruning)
    return fields


def _decoded(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates)
    except (json.JSONDecodeError, RecursionError) as error:
        raise PlanError(f"a plan must be valid JSON, got {text[:40]!r} ({error}): write {_EXAMPLE}") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    decoded = dict(pairs)
    if len(decoded) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise PlanError(f"a key of a plan must be given once, got {twice!r} twice: remove one of them")
    return decoded


def _check_schema(plan: Mapping[str, Any]) -> None:
    schema = plan.get("schema")
    if type(schema) is not int or schema != SCHEMA:  # JSON's true and 1.0 equal 1 in Python
        got = repr(schema) if "schema" in plan else "no schema key"
        raise PlanError(f"a plan in JSON must have schema {SCHEMA}, got {got}: write it again, or use its text form")


def _check_keys(got: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    for key in got:
        if key not in known:
            raise PlanError(f"unknown key {key!r} in {what}: the keys are {', '.join(known)}; remove it")


def _block(index: int, block: Any) -> Block:
    where = f"block {index} (counted from 0)"
    if not isinstance(block, Mapping) or "op" not in block:
        got = repr(block) if isinstance(block, Mapping) else _kind(block)
        raise PlanError(f'{where} of a plan must be an object with an op, got {got}: write {{"op": "keep"}}')
    _check_keys(block, _BLOCK_KEYS, where)
    at = f" at block {index}"
    scope = as_scope(block["scope"], at) if "scope" in block else Scope.ALL
    variant = as_variant(block["variant"], at) if "variant" in block else Variant.SUM
    op = as_op(block["op"], at)
    pruning = pruning_of_fields(block["pruning"], at) if block.get("pruning") is not None else None
    try:
        return Block(op, scope, variant, pruning)
    except PlanError as error:
        raise PlanError(f"{where}: {error}") from None


def _kind(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"
