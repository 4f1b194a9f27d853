"""The plan: one immutable value that says which sub-layers of a language model run, block by block."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from spaces.block import LEGEND, OP_OF_CHAR, Block, Op, PlanError, as_op
from spaces.plan_json import SCHEMA, blocks_of

__all__ = ["Block", "Op", "Plan", "PlanError"]

_BLOCKS = {op: Block(op) for op in Op}
_WITH_ATTENTION = tuple(op for op in Op if op.runs_attention)
_WITH_FFN = tuple(op for op in Op if op.runs_ffn)


@dataclass(frozen=True)
class Plan:
    """What is done to every block of a language model, from the first block to the last.

    Immutable and hashable. `str(plan)`, `plan.to_json()` and the value itself round-trip exactly.
    """

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.blocks, tuple) or not all(isinstance(block, Block) for block in self.blocks):
            raise PlanError("the blocks of a Plan must be a tuple of Block: use Plan.of or Plan.parse")
        if not self.blocks:
            raise PlanError("a plan must have at least one block, got none: use Plan.dense(num_blocks)")

    @classmethod
    def of(cls, ops: Iterable[Op | str]) -> "Plan":
        """The plan with these ops (or op names), first block first. Raises PlanError for an unknown name."""
        return cls(tuple(_BLOCKS[as_op(op, f" at block {i}")] for i, op in enumerate(ops)))

    @classmethod
    def dense(cls, num_blocks: int) -> "Plan":
        """The plan that changes nothing. Raises PlanError unless `num_blocks` is at least 1."""
        return cls((_BLOCKS[Op.KEEP],) * num_blocks)

    @classmethod
    def parse(cls, text: str) -> "Plan":
        """The plan of a text with one character a block, such as `..ab.fp`; space around it is ignored.

        Raises:
            PlanError: the text is empty or holds a character that is no op.
        """
        chars = text.strip()
        if not chars:
            raise PlanError(f"a plan text must hold one character a block, got {text!r}: {LEGEND}")
        for i, char in enumerate(chars):
            if char not in OP_OF_CHAR:
                where = f"at block {i} (counted from 0) of {chars!r}"
                raise PlanError(f"unknown op {char!r} {where}: an op is one of {LEGEND}")
        return cls(tuple(_BLOCKS[OP_OF_CHAR[char]] for char in chars))

    @classmethod
    def from_json(cls, source: str | Mapping[str, Any]) -> "Plan":
        """The plan of a JSON text, or of the mapping such a text decodes to.

        Raises:
            PlanError: no JSON, another schema version, an unknown key, op or type.
        """
        return cls(blocks_of(source))

    def to_json(self) -> str:
        """The canonical JSON: fixed key order, no spaces. Fields at their default are left out."""
        blocks = [{"op": str(block.op)} for block in self.blocks]
        return json.dumps({"schema": SCHEMA, "blocks": blocks, "pruning": None}, separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON in hexadecimal: the identity of the plan everywhere."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @cached_property
    def ops(self) -> tuple[Op, ...]:
        """The op of every block, first block first."""
        return tuple(block.op for block in self.blocks)

    @property
    def is_dense(self) -> bool:
        """Whether nothing is changed."""
        return self.num_changed == 0

    @property
    def num_changed(self) -> int:
        """The number of blocks that are not kept as they are."""
        return len(self.ops) - self.ops.count(Op.KEEP)

    @property
    def num_attention(self) -> int:
        """The number of blocks whose self-attention runs."""
        return sum(self.ops.count(op) for op in _WITH_ATTENTION)

    @property
    def num_ffn(self) -> int:
        """The number of blocks whose FFN runs."""
        return sum(self.ops.count(op) for op in _WITH_FFN)

    def counts(self) -> dict[str, int]:
        """How many blocks have each op, by op name; every op is listed."""
        return {str(op): self.ops.count(op) for op in Op}

    def replace(self, index: int, op: Op | str) -> "Plan":
        """This plan with another op at block `index` (from 0). Raises PlanError if there is none."""
        if not 0 <= index < len(self.blocks):
            raise PlanError(f"block {index} is not in this plan: it has blocks 0 to {len(self.blocks) - 1}")
        changed = _BLOCKS[as_op(op, f" for block {index}")]
        return Plan((*self.blocks[:index], changed, *self.blocks[index + 1 :]))

    def __len__(self) -> int:
        return len(self.blocks)

    def __str__(self) -> str:
        return "".join(op.char for op in self.ops)
