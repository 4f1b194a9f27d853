"""Number of rows that the parts of a block run for, per request: in the prefill, and in all decode steps together."""

from dataclasses import dataclass

from objectives.workload import Workload
from spaces.kinds import BlockKind
from spaces.plan import Block, Group

PROMPT = (Group.VISUAL, Group.TEXT)
"""The token groups of the prefill."""


@dataclass(frozen=True)
class Rows:
    """Rows of one kind of pass through one block. Fractional for means over a data set."""

    attending: float
    """Rows whose attention is computed: queries and outputs."""
    keys: float
    """Rows whose keys and values are computed."""
    pairs: float
    """Scores: query-key pairs."""
    ffn: float


def prefill_rows(block: Block, kind: BlockKind, workload: Workload) -> Rows:
    """Return the rows of the prefill.

    Keys and values of the whole prompt are computed if generated tokens attend to them later. Cross-attention computes
    keys and values of the image features once, here, if any row attends to them.
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
    """Return the rows of all decode steps; step t = 1, 2, ... runs one token on the prompt and t generated tokens.

    A sliding cache holds the last `window` of them. In the prefill, all scores are computed and then masked.
    """
    steps = workload.decode_steps
    attending, ffn = steps * block.runs_attention(Group.GENERATED), steps * block.runs_ffn(Group.GENERATED)
    if kind.is_cross:
        return Rows(attending, 0, attending * workload.cross_tokens, ffn) if workload.cross_tokens else Rows(0, 0, 0, 0)
    growing = attending if kind.window is None else min(max(kind.window - workload.prompt_tokens, 0), attending)
    pairs = growing * workload.prompt_tokens + _triangle(growing) + (attending - growing) * (kind.window or 0)
    return Rows(attending, attending, pairs, ffn)


def _triangle(n: float) -> float:
    """Return 1 + 2 + ... + n, or the value of its polynomial for a fractional n."""
    return n * (n + 1) // 2 if isinstance(n, int) else n * (n + 1) / 2
