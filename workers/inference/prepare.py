"""Turns the samples of a split into what every trial reads, in one of two ways that give the same answers.

Packed: several questions share the image prefix they have in common, and the mapping module's inputs are cached. Only
where that is proven for the model at hand. Plain: the model's own forward and `generate` on batches of its processor,
which is right for any family. Those who evaluate, tune or time don't know which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from workers.data.sample import Sample
from workers.inference.packed_split import PackedSplit, Unpackable, pack_split
from workers.inference.packing_check import packing_is_exact
from workers.inference.plain_split import PlainSplit
from workers.models.loaded_model import LoadedModel


class AnswerBatch(Protocol):
    """Questions with the answers to be learned or judged."""

    @property
    def targets(self) -> Tensor:
        """(labeled positions,) token ids of the answers, end-of-sequence included, one answer after another."""

    @property
    def order(self) -> Tensor:
        """(questions,) which of the questions asked for comes when in `targets`."""


class Prepared(Protocol):
    """A split, ready for the model. Made once; all trials read the same."""

    @property
    def samples(self) -> tuple[Sample, ...]: ...

    @property
    def images(self) -> tuple[int, ...]:
        """Number of the image of every sample, in order of first appearance."""

    @property
    def max_new_tokens(self) -> int:
        """Where generation is cut off (`workers.models.loaded_model.longest_answer`)."""

    def answer_ids(self, loaded: LoadedModel, questions: int) -> list[list[int]]:
        """Greedy answers to the first `questions` questions, as token ids. Raises NonFinite."""

    def answer_batch(
        self, loaded: LoadedModel, chosen: Sequence[int], per_image: int, answers: Sequence[str] | None = None
    ) -> Any:
        """A `AnswerBatch` of the chosen samples with their own answers, or with others given.

        At most `per_image` questions share a sequence.
        """

    def answer_logits(self, loaded: LoadedModel, batch: Any) -> Tensor:
        """(labeled positions, vocabulary) float32 logits that should give `batch.targets`."""

    def rows(self, loaded: LoadedModel, batch: Any) -> list[tuple[Tensor, Tensor]]:
        """For every pass of the decoder in `answer_logits`: (B, T) bool, rows that are no padding, and (B, T) codes."""

    def sequences_at_once(self, loaded: LoadedModel) -> int:
        """How many questions fit into a batch, each in a sequence of its own."""

    def steps(self, loaded: LoadedModel) -> tuple[Callable[[], None], Callable[[], None]]:
        """Two things to time on the first question: prefill to the first token, and one further token after it."""


def prepare(loaded: LoadedModel, samples: Sequence[Sample]) -> Prepared:
    """Tokenizes through the model's own processor and runs every distinct image once through the frozen tower.

    Raises ValueError on no samples.
    """
    if not samples:
        raise ValueError("a split must have at least one question, got none: check the data set")
    if packing_is_exact(loaded):
        try:
            return pack_split(loaded, samples)
        except Unpackable:
            pass  # images of this split differ in what they become
    return PlainSplit(loaded, samples)


__all__ = ["AnswerBatch", "PackedSplit", "PlainSplit", "Prepared", "prepare"]
