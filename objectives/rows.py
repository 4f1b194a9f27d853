"""Computes the numbers of rows that the parts of a block run for, per request, in the prefill and when decoding."""

from dataclasses import dataclass

from objectives.workload import Workload
from spaces.kinds import BlockKind
from spaces.plan import Block, Group

PROMPT = (Group.VISUAL, Group.TEXT)
"""The token groups of the prefill."""


@dataclass(frozen=True)
class Rows:
    """Numbers of rows in the prefill, or in all decode steps, of one block. Fractional for means over a data set."""

    attending: float
    """Rows for which queries and outputs of the attention are computed."""
    keys: float
    """Rows for which keys and values are computed."""
    pairs: float
    """Query-key pairs for which scores are computed."""
    ffn: float
    """Rows for which the FFN is computed."""


def prefill_rows(block: Block, kind: BlockKind, workload: Workload) -> Rows:
    """Return the numbers of rows of the prefill.

    Keys and values of the whole prompt are computed if generated tokens attend to them later. Cross-attention computes
    keys and values of the image features once, in the prefill, if any row attends to them.

    Args:
        block: the block of the plan.
        kind: kind of the model's block.
        workload: numbers of tokens.
    """
    tokens = {Group.VISUAL: workload.visual_tokens, Group.TEXT: workload.text_tokens}
    attending = sum(tokens[group] for group in PROMPT if block.runs_attention(group))
    ffn = sum(tokens[group] for group in PROMPT if block.runs_ffn(group))
    if kind.is_cross:
        keys = workload.cross_tokens if block.caches or attending else 0
        return Rows(attending, keys, attending * keys, ffn) if workload.cross_tokens else Rows(0, 0, 0, 0)
    keys = workload.prompt_tokens if block.caches else attending
    return Rows(attending, keys, attending * keys, ffn)


def decode_rows(block: Block, kind: BlockKind, workload: Workload) -> Rows:
    """Return the numbers of rows of all decode steps together; in step t, one token attends to the prompt and t tokens.

    With a sliding window, it attends to the last `window` of them; in the prefill, all scores are computed and masked.

    Args:
        block: the block of the plan.
        kind: kind of the model's block.
        workload: numbers of tokens.
    """
    steps = workload.decode_steps
    attending, ffn = steps * block.runs_attention(Group.GENERATED), steps * block.runs_ffn(Group.GENERATED)
    if kind.is_cross:
        return Rows(attending, 0, attending * workload.cross_tokens, ffn) if workload.cross_tokens else Rows(0, 0, 0, 0)
    growing = attending if kind.window is None else min(max(kind.window - workload.prompt_tokens, 0), attending)
    pairs = growing * workload.prompt_tokens + _triangle(growing) + (attending - growing) * (kind.window or 0)
    return Rows(attending, attending, pairs, ffn)


def _triangle(n: float) -> float:
    """Return 1 + 2 + ... + n, or n (n + 1) / 2 for a fractional n."""
    return n * (n + 1) // 2 if isinstance(n, int) else n * (n + 1) / 2
