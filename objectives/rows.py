"""How many rows the parts of a block are run for, in the prefill and in all decode steps together, for one request."""

from dataclasses import dataclass

from objectives.workload import Workload
from spaces.plan import Block, Group

PROMPT = (Group.VISUAL, Group.TEXT)
"""The token groups of the prefill."""


@dataclass(frozen=True)
class Rows:
    """Rows of one kind of pass through one block. Fractional for means over a data set."""

    attending: float
    """Rows whose attention is computed: queries and outputs."""
    keys: float
    """Rows whose keys and values are made."""
    pairs: float
    """Scores: query-key pairs."""
    ffn: float


def prefill_rows(block: Block, workload: Workload) -> Rows:
    """The prompt; its keys and values are made in full where generated tokens may attend to them later."""
    tokens = {Group.VISUAL: workload.visual_tokens, Group.TEXT: workload.text_tokens}
    attending = sum(tokens[group] for group in PROMPT if block.runs_attention(group))
    keys = workload.prompt_tokens if block.caches else attending
    ffn = sum(tokens[group] for group in PROMPT if block.runs_ffn(group))
    return Rows(attending, keys, attending * keys, ffn)


def decode_rows(block: Block, workload: Workload) -> Rows:
    """Step t = 1, 2, ... feeds one token, which attends to the prompt and to t generated tokens."""
    steps = workload.decode_steps
    attending = steps * block.runs_attention(Group.GENERATED)
    pairs = attending * workload.prompt_tokens + _triangle(attending)
    return Rows(attending, attending, pairs, steps * block.runs_ffn(Group.GENERATED))


def _triangle(n: float) -> float:
    """1 + 2 + ... + n, and its polynomial for a fractional n."""
    return n * (n + 1) // 2 if isinstance(n, int) else n * (n + 1) / 2
