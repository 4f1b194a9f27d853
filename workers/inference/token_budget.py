"""Limits the tokens per batch, and lowers the limit when memory runs out, so that no trial fails for its batches."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")

TOKENS_AT_ONCE = 8192
"""Approximate number of prompt tokens per batch at first; it bounds the memory of the KV cache."""
LEAST_TOKENS = 64
"""Limit that is not halved any more; batches hold one sequence by then."""

log = logging.getLogger(__name__)


class TokenBudget:
    """The approximate number of prompt tokens per batch of a split, which shrinks and never grows."""

    def __init__(self, tokens: int = TOKENS_AT_ONCE) -> None:
        self.tokens = tokens

    def fit(self, run: Callable[[], T]) -> T:
        """Return `run()`, run again with half the tokens per batch as long as memory runs out.

        Args:
            run: reads `tokens` of this budget for the size of its batches, and may be run several times.

        Raises:
            torch.OutOfMemoryError, MemoryError, RuntimeError: memory ran out with `LEAST_TOKENS`, too.
        """
        while True:
            try:
                return run()
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or self.tokens <= LEAST_TOKENS:
                    raise
            free_memory()  # after the handler, because the error holds the tensors of its frames
            self.tokens //= 2
            log.warning("memory ran out: batches of %d tokens from now on", self.tokens)


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if an error says that the memory of machine or device is used up."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def free_memory() -> None:
    """Free the memory of objects that refer to each other, and torch's reserve on the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
