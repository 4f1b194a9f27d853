"""The text form of a plan: one character a block, a scope mark after it where the op is not for all tokens.

    . keep   a skip_attn   f skip_ffn   b skip_block   p parallel   () a pair (sum)   [] a pair (mean)
    v visual tokens   t every token of the prompt   g generated tokens

`.av.bg()t` is keep, skip_attn for visual tokens, keep, skip_block for generated tokens, and a pair for the prompt.
"""

from collections.abc import Iterable, Iterator

from spaces.block import SINGLE_OPS, Block, Op, PlanError, Variant
from spaces.scope import SCOPE_OF_MARK, Scope

_OP_OF_CHAR = {op.char: op for op in SINGLE_OPS}
_BRACKETS = {"(": (")", Variant.SUM), "[": ("]", Variant.MEAN)}
_CLOSING = {variant: (opening, closing) for opening, (closing, variant) in _BRACKETS.items()}
LEGEND = ", ".join([*(f"{op.char} {op}" for op in SINGLE_OPS), "() pair", "[] pair of mean"])
MARKS = ", ".join(f"{mark} {scope}" for mark, scope in SCOPE_OF_MARK.items())


def text_of(blocks: Iterable[Block]) -> str:
    """The text of blocks in which every pair is whole."""
    text = ""
    for block in blocks:
        if block.op is Op.PAIR:
            text += "".join(_CLOSING[block.variant]) + block.scope.mark
        elif block.op is not Op.PAIRED:
            text += block.op.char + block.scope.mark
    return text


def blocks_of_text(text: str) -> tuple[Block, ...]:
    """The blocks of a text; space around it is ignored.

    Raises:
        PlanError: empty, an unknown character, a pair that is not closed, a scope mark where none may stand.
    """
    chars = text.strip()
    if not chars:
        raise PlanError(f"a plan text must hold one character a block, got {text!r}: {LEGEND}")
    return tuple(_blocks(chars))


def _blocks(chars: str) -> Iterator[Block]:
    place = block = 0
    while place < len(chars):
        char = chars[place]
        where = f"at block {block} (counted from 0) of {chars!r}"
        if char in _BRACKETS:
            closing, variant = _BRACKETS[char]
            if chars[place + 1 : place + 2] != closing:
                raise PlanError(f"a pair must be closed at once, got {char!r} without {closing!r} {where}: write ()")
            scope = _scope(chars, place + 2, Op.PAIR, where)
            yield from (Block(Op.PAIR, scope, variant), Block(Op.PAIRED))
            place, block = place + 2, block + 2
        else:
            op = _op(char, where)
            scope = _scope(chars, place + 1, op, where)
            yield Block(op, scope)
            place, block = place + 1, block + 1
        place += scope is not Scope.ALL


def _op(char: str, where: str) -> Op:
    if char in _OP_OF_CHAR:
        return _OP_OF_CHAR[char]
    if char in SCOPE_OF_MARK:
        raise PlanError(f"a scope mark must follow an op, got {char!r} {where}: one op, then at most one of {MARKS}")
    if any(char == closing for closing, _ in _BRACKETS.values()):
        raise PlanError(f"a pair must be opened before it is closed, got {char!r} {where}: write () or []")
    raise PlanError(f"unknown op {char!r} {where}: an op is one of {LEGEND}")


def _scope(chars: str, place: int, op: Op, where: str) -> Scope:
    """The scope whose mark stands at `place`; `all` where none does."""
    scope = SCOPE_OF_MARK.get(chars[place : place + 1], Scope.ALL)
    if scope is not Scope.ALL and op is Op.KEEP:
        raise PlanError(f"a kept block must have no scope mark, got {chars[place]!r} {where}: remove it")
    return scope
