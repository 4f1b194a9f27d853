"""Defines the modification of one decoder block: its op, the op's tokens, and the pruning of its weights."""

from dataclasses import dataclass, replace
from enum import StrEnum

from spaces.errors import PlanError as PlanError
from spaces.names import nearest
from spaces.pruning import Pruning
from spaces.pruning_forms import pruning_of_text, text_of_pruning
from spaces.scope import Group, Scope


class Op(StrEnum):
    """The computation of one block. SA is self-attention; N1 and N2 are the norms before SA and FFN.

    A block with cross-attention to image features, CA, keeps the gates of the model: h = x + gate1 CA(N1 x); y = h +
    gate2 FFN(N2 h). For such a block, keep, skip_ffn and skip_block have the same meaning and skip_cross replaces
    skip_attn. The other ops apply to self-attention blocks only.
    """

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
    SKIP_CROSS = "skip_cross"
    """y = x + gate2 FFN(N2 x); the keys and values of the image features are not computed"""
    PAIR = "pair"
    """The first of two blocks that both read x: y = x + D(x) + D'(x), where D(x) = block(x) - x"""
    PAIRED = "paired"
    """The second block of a pair; the scope and the variant are stored in the first."""

    @property
    def char(self) -> str:
        """Return the op's character in the text form of a plan; for a pair, that of the sum."""
        return _CHARS[self]

    @property
    def runs_attention(self) -> bool:
        """Return True if the attention (self- or cross-attention) runs for the tokens in scope."""
        return self not in (Op.SKIP_ATTN, Op.SKIP_BLOCK, Op.SKIP_CROSS)

    @property
    def runs_ffn(self) -> bool:
        """Return True if the FFN runs for the tokens in scope."""
        return self not in (Op.SKIP_FFN, Op.SKIP_BLOCK)


class Variant(StrEnum):
    """The way in which a pair combines the deltas of its two blocks."""

    SUM = "sum"
    MEAN = "mean"
    """y = x + (D(x) + D'(x)) / 2, as in arXiv 2410.09454."""


SINGLE_OPS = (Op.KEEP, Op.SKIP_ATTN, Op.SKIP_FFN, Op.SKIP_BLOCK, Op.PARALLEL)
"""The ops of a single self-attention block."""
CROSS_OPS = (Op.KEEP, Op.SKIP_CROSS, Op.SKIP_FFN, Op.SKIP_BLOCK)
"""The ops of a block with cross-attention."""
_CHARS = {
    Op.KEEP: ".",
    Op.SKIP_ATTN: "a",
    Op.SKIP_FFN: "f",
    Op.SKIP_BLOCK: "b",
    Op.PARALLEL: "p",
    Op.SKIP_CROSS: "c",
    Op.PAIR: "(",
    Op.PAIRED: ")",
}
_OP_OF_NAME = {str(op): op for op in Op}


def as_op(value: object, where: str = "") -> Op:
    """Return an op, or the name of one, as an `Op`.

    Args:
        value: an `Op` or its name.
        where: text to add to the error message, such as ` at block 3`.

    Raises:
        PlanError: `value` is not the name of an op.
    """
    if isinstance(value, str) and value in _OP_OF_NAME:
        return _OP_OF_NAME[value]
    raise PlanError(f"unknown op {value!r}{where}{nearest(value, Op)}: an op is one of {', '.join(Op)}")


def as_scope(value: object, where: str = "") -> Scope:
    """Return a scope, or the name of one, as a `Scope`.

    Args:
        value: a `Scope` or its name.
        where: text to add to the error message, such as ` at block 3`.

    Raises:
        PlanError: `value` is not the name of a scope.
    """
    if isinstance(value, str) and value in list(Scope):
        return Scope(value)
    raise PlanError(f"unknown scope {value!r}{where}{nearest(value, Scope)}: a scope is one of {', '.join(Scope)}")


def as_variant(value: object, where: str = "") -> Variant:
    """Return a variant of a pair, or the name of one, as a `Variant`.

    Args:
        value: a `Variant` or its name.
        where: text to add to the error message, such as ` at block 3`.

    Raises:
        PlanError: `value` is not the name of a variant.
    """
    if isinstance(value, str) and value in list(Variant):
        return Variant(value)
    known = ", ".join(Variant)
    raise PlanError(f"unknown variant {value!r}{where}{nearest(value, Variant)}: a pair's variant is one of {known}")


@dataclass(frozen=True, slots=True)
class Block:
    """The modification of one decoder block: an op, the tokens it applies to, and a pruning of the weights."""

    op: Op = Op.KEEP
    scope: Scope = Scope.ALL
    variant: Variant = Variant.SUM
    pruning: Pruning | None = None
    """The pruning of this block's weights, which applies to all tokens. Each block of a pair has its own."""

    def __post_init__(self) -> None:
        if not isinstance(self.op, Op):
            raise PlanError(f"the op of a Block must be an Op, got {self.op!r}: use Plan.of or Plan.parse")
        if not isinstance(self.scope, Scope) or not isinstance(self.variant, Variant):
            raise PlanError(
                f"scope and variant of a Block must be a Scope and a Variant, got {self.scope!r} and {self.variant!r}: "
                "use Block.named"
            )
        if self.scope is not Scope.ALL and self.op in (Op.KEEP, Op.PAIRED):
            raise PlanError(
                f"a block with op {self.op} must have no scope, got {self.scope}: "
                + ("leave it out" if self.op is Op.KEEP else "give the scope to the first block of the pair")
            )
        if self.variant is not Variant.SUM and self.op is not Op.PAIR:
            raise PlanError(f"only a pair has a variant, got {self.variant} for op {self.op}: leave it out")
        if self.pruning is not None and self.part_of(self.pruning) != self.pruning:
            raise PlanError(
                f"a pruning must be of what the block runs, got one of more for op {self.op}: leave that out"
            )

    @classmethod
    def named(cls, name: object, where: str = "") -> "Block":
        """Return the block with a name: `OP`, `OP:SCOPE` or, for a pair, `pair:SCOPE:mean`; `{PRUNING}` may follow.

        Args:
            name: a name, an `Op`, or a `Block`, which is returned unchanged.
            where: text to add to the error message, such as ` at block 3`.

        Raises:
            PlanError: an unknown op, scope, variant or pruning, or a combination that is not valid.
        """
        if isinstance(name, Block):
            return name
        if not isinstance(name, str):
            return cls(as_op(name, where))
        name, brace, pruning = name.partition("{")
        if brace:
            return cls.named(name, where).pruned(pruning_of_text(pruning.removesuffix("}")))
        op, *marks = name.split(":")
        if len(marks) > 2:
            raise PlanError(f"a block must be named OP, OP:SCOPE or OP:SCOPE:VARIANT, got {name!r}{where}: shorten it")
        scope = as_scope(marks[0], where) if marks else Scope.ALL
        variant = as_variant(marks[1], where) if marks[1:] else Variant.SUM
        return cls(as_op(op, where), scope, variant)

    @property
    def name(self) -> str:
        """Return the name of the block, as read by `Block.named`, with defaults left out."""
        name = str(self.op)
        if self.scope is not Scope.ALL or self.variant is not Variant.SUM:
            name += f":{self.scope}"
        if self.variant is not Variant.SUM:
            name += f":{self.variant}"
        return name + self.pruning_mark

    @property
    def pruning_mark(self) -> str:
        """Return the text of the pruning in braces, or an empty string without one."""
        return f"{{{text_of_pruning(self.pruning)}}}" if self.pruning else ""

    @property
    def is_kept(self) -> bool:
        """Return True if the block is not modified."""
        return self.op is Op.KEEP and self.pruning is None

    @property
    def has_attention(self) -> bool:
        """Return True if self-attention runs for at least one group of tokens."""
        return any(self.runs_attention(group) for group in Group)

    @property
    def has_ffn(self) -> bool:
        """Return True if the FFN runs for at least one group of tokens."""
        return any(self.runs_ffn(group) for group in Group)

    def part_of(self, pruning: Pruning) -> Pruning | None:
        """Return the part of a pruning that concerns the sub-layers this block runs, or None."""
        return pruning.within(self.has_attention, self.has_ffn)

    def pruned(self, pruning: Pruning | None) -> "Block":
        """Return this block with another pruning.

        Raises:
            PlanError: it prunes a sub-layer that the block does not run.
        """
        return replace(self, pruning=pruning)

    def runs_attention(self, group: Group) -> bool:
        """Return True if self-attention runs for the tokens of a group."""
        return self.op.runs_attention or group not in self.scope.groups

    def runs_ffn(self, group: Group) -> bool:
        """Return True if the FFN runs for the tokens of a group."""
        return self.op.runs_ffn or group not in self.scope.groups

    @property
    def caches(self) -> bool:
        """Return True if the keys and values of the prompt are cached, because generated tokens attend to them."""
        return self.runs_attention(Group.GENERATED)


SINGLE_BLOCKS = {op: Block(op) for op in (*SINGLE_OPS, Op.SKIP_CROSS)}
"""Op -> the block with that op, for all tokens, without pruning."""
