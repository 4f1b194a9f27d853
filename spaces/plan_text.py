"""Converts plans to their text form, with one character per block, and back.

The character may be followed by a scope mark, if the op is not for all tokens, and by a pruning of the block's weights
in braces (`spaces.pruning_forms`). A pruning before the first block applies to the whole plan.

    . keep   a skip_attn   f skip_ffn   b skip_block   p parallel   c skip_cross   () a pair (sum)   [] a pair (mean)
    v visual tokens   t every token of the prompt   g generated tokens

`.av.bg()t` is keep, skip_attn for visual tokens, keep, skip_block for generated tokens, and a pair for the prompt.
`.av{ffn50}.` also keeps 50 % of the FFN channels of its second block. `{w50}..b.` prunes all weights that run.

Long plans are also read and written as runs: `4. 2f b` is `....ffb`. A number repeats the block or pair after it.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, repeat

from spaces.block import SINGLE_BLOCKS, Block, Op, PlanError, Variant
from spaces.names import shortened
from spaces.plan_pruning import gathered, spread
from spaces.pruning import Pruning
from spaces.pruning_forms import EXAMPLES, pruning_of_text, text_of_pruning
from spaces.scope import SCOPE_OF_MARK, Scope

_OP_OF_CHAR = {op.char: op for op in SINGLE_BLOCKS}
_BRACKETS = {"(": (")", Variant.SUM), "[": ("]", Variant.MEAN)}
_CLOSING = {variant: (opening, closing) for opening, (closing, variant) in _BRACKETS.items()}
LEGEND = ", ".join([*(f"{op.char} {op}" for op in SINGLE_BLOCKS), "() pair", "[] pair of mean"])
"""The characters of the ops, for error messages."""
MOST_BLOCKS = 4096
"""Maximum number of repetitions of a block in a run."""
MARKS = ", ".join(f"{mark} {scope}" for mark, scope in SCOPE_OF_MARK.items())
"""The scope marks, for error messages."""


def text_of(blocks: Sequence[Block]) -> str:
    """Return the text of a sequence of blocks in which every pair is complete."""
    whole = gathered(blocks)
    text = "" if whole is None else f"{{{text_of_pruning(whole)}}}"
    opened = blocks[0]
    for block in blocks:
        char, mark = block.op.char, block.scope.mark
        if block.op is Op.PAIR:
            opened, (char, _), mark = block, _CLOSING[block.variant], ""
        elif block.op is Op.PAIRED:
            (_, char), mark = _CLOSING[opened.variant], opened.scope.mark
        text += char + mark + ("" if whole else block.pruning_mark)
    return text


def runs_of_text(text: str) -> str:
    """Return the text of a plan with equal successive blocks counted, such as `4. 2f b` for `....ffb`.

    Raises:
        PlanError: `text` is not the text of a plan.
    """
    chars = text.strip()
    _, start = _pruning(chars, 0, f"before the blocks of {chars!r}")
    counted = [(len(list(equal)), token) for token, equal in groupby(token for token, _ in _tokens(chars, start))]
    runs = [token if count == 1 else f"{count}{token}" for count, token in counted]
    return " ".join([chars[:start], *runs] if start else runs)


def blocks_of_text(text: str) -> tuple[Block, ...]:
    """Return the blocks of a text. Leading and trailing whitespace is ignored.

    Raises:
        PlanError: an empty text, an unknown character, a pair that is not closed, or a misplaced scope mark or pruning.
    """
    chars = text.strip()
    whole, start = _pruning(chars, 0, f"before the blocks of {chars!r}")
    if start == len(chars):
        raise PlanError(f"a plan text must hold one character per block, got {text!r}: {LEGEND}")
    blocks = tuple(block for _, token in _tokens(chars, start) for block in token)
    return blocks if whole is None else spread(whole, blocks)


def _tokens(chars: str, place: int) -> Iterator[tuple[str, tuple[Block, ...]]]:
    """Yield (text, blocks) of each block or pair; repeated ones as often as their number says."""
    block = 0
    while place < len(chars):
        where = f"at block {block} (counted from 0) of {chars!r}"
        count, begin = _count(chars, place, where)
        char = chars[begin]
        if char in _BRACKETS:
            first, second, place = _pair(chars, begin, where)
            blocks: tuple[Block, ...] = (first, second)
        else:
            op = _op(char, where)
            scope, place = _scope(chars, begin + 1, op, where)
            pruning, place = _pruning(chars, place, where)
            blocks = (_pruned(Block(op, scope), pruning, where),)
        yield from repeat((chars[begin:place], blocks), count)
        block += count * len(blocks)


def _count(chars: str, place: int, where: str) -> tuple[int, int]:
    """Return the number of repetitions of the block at `place`, 1 without a number, and the place of the block."""
    while chars[place].isspace():
        place += 1
    end = place
    while chars[end : end + 1].isdecimal():
        end += 1
    count = int(chars[place : min(end, place + 9)]) if end > place else 1
    if end == len(chars) or not 1 <= count <= MOST_BLOCKS:
        raise PlanError(
            f"a number must be 1 to {MOST_BLOCKS} and precede the block that it repeats, got "
            f"{shortened(chars[place:end])!r} {where}: write 4. for ...."
        )
    return count, end


def _pair(chars: str, place: int, where: str) -> tuple[Block, Block, int]:
    """Return the two blocks of the pair that opens at `place`, and the place after it."""
    closing, variant = _BRACKETS[chars[place]]
    of_first, end = _pruning(chars, place + 1, where)
    if chars[end : end + 1] != closing:
        raise PlanError(f"a pair must be closed at once, got {chars[place]!r} without {closing!r} {where}: write ()")
    scope, end = _scope(chars, end + 1, Op.PAIR, where)
    of_second, end = _pruning(chars, end, where)
    return Block(Op.PAIR, scope, variant, of_first), Block(Op.PAIRED, pruning=of_second), end


def _op(char: str, where: str) -> Op:
    if char in _OP_OF_CHAR:
        return _OP_OF_CHAR[char]
    if char in SCOPE_OF_MARK:
        raise PlanError(f"a scope mark must follow an op, got {char!r} {where}: one op, then at most one of {MARKS}")
    if any(char == closing for closing, _ in _BRACKETS.values()):
        raise PlanError(f"a pair must be opened before it is closed, got {char!r} {where}: write () or []")
    if char in "{}":
        raise PlanError(f"a pruning must follow a block, once, got {char!r} {where}: write one such as {EXAMPLES}")
    raise PlanError(f"unknown op {char!r} {where}: an op is one of {LEGEND}")


def _scope(chars: str, place: int, op: Op, where: str) -> tuple[Scope, int]:
    """Return the scope whose mark is at `place`, or `all` without one, and the place after it."""
    scope = SCOPE_OF_MARK.get(chars[place : place + 1], Scope.ALL)
    if scope is not Scope.ALL and op is Op.KEEP:
        raise PlanError(f"a kept block must have no scope mark, got {chars[place]!r} {where}: remove it")
    return scope, place + (scope is not Scope.ALL)


def _pruning(chars: str, place: int, where: str) -> tuple[Pruning | None, int]:
    """Return the pruning whose brace opens at `place`, or None without one, and the place after it."""
    if chars[place : place + 1] != "{":
        return None, place
    end = chars.find("}", place)
    if end < 0:
        raise PlanError(f"a pruning must be closed by }}, got {chars[place:]!r} {where}: write one such as {EXAMPLES}")
    try:
        return pruning_of_text(chars[place + 1 : end]), end + 1
    except PlanError as error:
        raise PlanError(f"{error} ({where})") from None


def _pruned(block: Block, pruning: Pruning | None, where: str) -> Block:
    try:
        return block if pruning is None else block.pruned(pruning)
    except PlanError as error:
        raise PlanError(f"{error} ({where})") from None
