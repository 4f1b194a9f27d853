"""Defines the plan: an immutable value with the modification of each block of a language model."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from spaces.block import SINGLE_BLOCKS, Block, Op, PlanError, Variant
from spaces.plan_json import blocks_of, plan_fields
from spaces.plan_text import blocks_of_text, text_of
from spaces.scope import Group, Scope

__all__ = ["Block", "Group", "Op", "Plan", "PlanError", "Scope", "Variant"]


@dataclass(frozen=True)
class Plan:
    """The modification of each block of a language model, from the first block to the last.

    Plans are immutable and hashable. `Plan.parse(str(plan))` and `Plan.from_json(plan.to_json())` equal the plan.
    """

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.blocks, tuple) or not all(isinstance(block, Block) for block in self.blocks):
            raise PlanError("the blocks of a Plan must be a tuple of Block: use Plan.of or Plan.parse")
        if not self.blocks:
            raise PlanError("a plan must have at least one block, got none: use Plan.dense(num_blocks)")
        _check_pairs(self.blocks)

    @classmethod
    def of(cls, blocks: Iterable[Block | Op | str]) -> "Plan":
        """Return the plan with these blocks, ops or names (`skip_attn`, `skip_attn:visual`), first block first.

        Raises:
            PlanError: a name is unknown, or a pair is incomplete.
        """
        return cls(tuple(_block(block, f" at block {i}") for i, block in enumerate(blocks)))

    @classmethod
    def dense(cls, num_blocks: int) -> "Plan":
        """Return the plan that changes no block.

        Raises:
            PlanError: `num_blocks` is less than 1.
        """
        return cls((SINGLE_BLOCKS[Op.KEEP],) * num_blocks)

    @classmethod
    def parse(cls, text: str) -> "Plan":
        """Return the plan of a text such as `..ab.fp`, `.av.bg()` or `{w50}..b.` (`spaces.plan_text`).

        Leading and trailing whitespace is ignored.

        Raises:
            PlanError: the text is empty, or part of it is not an op, pair, scope mark or pruning.
        """
        return cls(blocks_of_text(text))

    @classmethod
    def from_json(cls, source: str | Mapping[str, Any]) -> "Plan":
        """Return the plan of a JSON text, or of the decoded mapping.

        Raises:
            PlanError: the JSON is invalid, has another schema version, or an unknown key, op or type.
        """
        return cls(blocks_of(source))

    def to_json(self) -> str:
        """Return the canonical JSON: fixed key order, no spaces, default values left out."""
        return json.dumps(plan_fields(self.blocks), separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of the canonical JSON in hexadecimal, which identifies the plan."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @cached_property
    def ops(self) -> tuple[Op, ...]:
        """Return the op of every block, first block first."""
        return tuple(block.op for block in self.blocks)

    @property
    def is_dense(self) -> bool:
        """Return True if no block is changed."""
        return self.num_changed == 0

    @property
    def num_changed(self) -> int:
        """Return the number of modified blocks."""
        return sum(not block.is_kept for block in self.blocks)

    @property
    def is_calibrated(self) -> bool:
        """Return True if the pruning of at least one block needs calibration samples."""
        return any(block.pruning is not None and block.pruning.is_calibrated for block in self.blocks)

    @property
    def num_attention(self) -> int:
        """Return the number of blocks whose self-attention runs for at least one group of tokens."""
        return sum(block.has_attention for block in self.blocks)

    @property
    def num_ffn(self) -> int:
        """Return the number of blocks whose FFN runs for at least one group of tokens."""
        return sum(block.has_ffn for block in self.blocks)

    def counts(self) -> dict[str, int]:
        """Return op name -> number of blocks with that op, for every op."""
        return {str(op): self.ops.count(op) for op in Op}

    def replace(self, index: int, block: Block | Op | str) -> "Plan":
        """Return this plan with another block, op or name at block `index` (from 0).

        Raises:
            PlanError: no such block, or the result is not a plan.
        """
        if not 0 <= index < len(self.blocks):
            raise PlanError(f"block {index} is not in this plan: it has blocks 0 to {len(self.blocks) - 1}")
        changed = _block(block, f" for block {index}")
        return Plan((*self.blocks[:index], changed, *self.blocks[index + 1 :]))

    def __len__(self) -> int:
        return len(self.blocks)

    def __str__(self) -> str:
        return self._text

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[type["Plan"], tuple[tuple[Block, ...]]]:
        return Plan, (self.blocks,)  # without the cached hash, which differs between processes

    @cached_property
    def _text(self) -> str:
        return text_of(self.blocks)

    @cached_property
    def _hash(self) -> int:
        """Hash of the blocks, computed once: a search looks its plans up many times."""
        return hash(self.blocks)


def _block(value: Block | Op | str, where: str) -> Block:
    """Return the block of a value; those without scope come from a table, since thousands of plans are created."""
    found = SINGLE_BLOCKS.get(value) if isinstance(value, str) else None  # type: ignore[call-overload]
    return found or Block.named(value, where)


def _check_pairs(blocks: tuple[Block, ...]) -> None:
    following = (*blocks[1:], None)
    for i, (block, after) in enumerate(zip(blocks, following, strict=True)):
        if (block.op is Op.PAIR) != (after is not None and after.op is Op.PAIRED):
            got = f"{block.op} at block {i} before {after.op if after else 'the end'}"
            raise PlanError(f"a pair must be two blocks, pair then paired, got {got}: change both of them")
    if blocks[0].op is Op.PAIRED:
        raise PlanError("a pair must be two blocks, pair then paired, got paired at block 0: change both of them")
