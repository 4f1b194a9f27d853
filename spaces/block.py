"""What can be done to one block of a language model: the ops and their characters."""

from dataclasses import dataclass
from enum import StrEnum

from spaces.names import nearest


class PlanError(ValueError):
    """A plan that is malformed or does not fit where it is used. The message is one line for the user."""


class Op(StrEnum):
    """What one block computes. SA is self-attention, N1 and N2 are the norms before SA and FFN."""

    KEEP = "keep"
    """h = x + SA(N1 x); y = h + FFN(N2 h)"""
    SKIP_ATTN = "skip_attn"
    """y = x + FFN(N2 x)"""
    SKIP_FFN = "skip_ffn"
    """y = x + SA(N1 x)"""
    SKIP_BLOCK = "skip_block"
    """y = x"""
    PARALLEL = "parallel"
    """y = x + SA(N1 x) + FFN(N2 x)"""

    @property
    def char(self) -> str:
        """The op's character in the text form of a plan."""
        return _CHARS[self]

    @property
    def runs_attention(self) -> bool:
        """Whether the block's self-attention is executed (and so writes keys and values)."""
        return self not in (Op.SKIP_ATTN, Op.SKIP_BLOCK)

    @property
    def runs_ffn(self) -> bool:
        """Whether the block's FFN is executed."""
        return self not in (Op.SKIP_FFN, Op.SKIP_BLOCK)


_CHARS = {Op.KEEP: ".", Op.SKIP_ATTN: "a", Op.SKIP_FFN: "f", Op.SKIP_BLOCK: "b", Op.PARALLEL: "p"}
_OP_OF_NAME = {str(op): op for op in Op}
OP_OF_CHAR = {char: op for op, char in _CHARS.items()}
LEGEND = ", ".join(f"{op.char} {op}" for op in Op)


def as_op(value: object, where: str = "") -> Op:
    """Turns an op or its name into an `Op`. `where` is put into the error, e.g. ` at block 3`.

    Raises:
        PlanError: `value` names no op.
    """
    if isinstance(value, str) and value in _OP_OF_NAME:
        return _OP_OF_NAME[value]
    raise PlanError(f"unknown op {value!r}{where}{nearest(value, Op)}: an op is one of {', '.join(Op)}")


@dataclass(frozen=True, slots=True)
class Block:
    """What is done to one block of the language model."""

    op: Op = Op.KEEP

    def __post_init__(self) -> None:
        if not isinstance(self.op, Op):
            raise PlanError(f"the op of a Block must be an Op, got {self.op!r}: use Plan.of or Plan.parse")
