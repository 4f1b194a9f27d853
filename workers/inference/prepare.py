"""Prepares the samples of a split for all trials, in one of two ways that give the same answers.

Packed: several questions about an image share its prefix, and the inputs of the mapping module are cached. This is used
only if a check has shown that it is exact for the loaded model. Plain: the model's own `forward` and `generate` run on
batches of its processor, which works for any model. Both have the same interface, `Prepared`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from torch import Tensor

from workers.data.sample import Sample
from workers.inference.packed_split import AnswerStep, PackedSplit, Unpackable, pack_split
from workers.inference.packing_check import packing_is_exact
from workers.inference.plain_split import PlainSplit
from workers.inference.token_budget import TokenBudget
from workers.models.loaded_model import LoadedModel


class AnswerBatch(Protocol):
    """Questions with the answers to train on or to score."""

    @property
    def targets(self) -> Tensor:
        """Return the token ids of all answers including end-of-sequence, (labeled positions,) int64."""

    @property
    def order(self) -> Tensor:
        """Return the index of the question of each answer in `targets`, (questions,) int64."""


class Prepared(Protocol):
    """A split prepared for the model, once for all trials."""

    @property
    def samples(self) -> tuple[Sample, ...]: ...

    @property
    def budget(self) -> TokenBudget:
        """Return the limit of tokens per batch."""

    @property
    def images(self) -> tuple[int, ...]:
        """Return the image number of each sample, in order of first appearance."""

    @property
    def max_new_tokens(self) -> int:
        """Return the limit of generated tokens (`workers.models.loaded_model.longest_answer`)."""

    def answer_ids(self, loaded: LoadedModel, questions: int) -> list[list[int]]:
        """Return greedy answers to the first `questions` questions, as token ids.

        Raises:
            NonFinite: a logit is NaN or infinite.
        """

    def answer_steps(self, loaded: LoadedModel, questions: int) -> Iterator[AnswerStep]:
        """Yield a function per batch that appends its greedy answers to lists of token ids, one list per question.

        The batches don't change with the plan, so that many plans can run on one batch before the next.
        """

    def answer_batch(
        self, loaded: LoadedModel, chosen: Sequence[int], per_image: int, answers: Sequence[str] | None = None
    ) -> Any:
        """Return an `AnswerBatch` of some samples.

        Args:
            loaded: the model.
            chosen: indices of samples.
            per_image: maximum number of questions per sequence.
            answers: one per chosen sample; None for the answers of the samples.
        """

    def answer_logits(self, loaded: LoadedModel, batch: Any) -> Tensor:
        """Return the logits that predict `batch.targets`, (labeled positions, vocabulary) float32."""

    def rows(self, loaded: LoadedModel, batch: Any) -> list[tuple[Tensor, Tensor]]:
        """Return, per decoder pass of `answer_logits`, a (B, T) bool mask without padding, and (B, T) group codes."""

    def sequences_at_once(self, loaded: LoadedModel) -> int:
        """Return the number of questions per batch if each has its own sequence."""


def prepare(loaded: LoadedModel, samples: Sequence[Sample]) -> Prepared:
    """Return a prepared split; each distinct image runs once through the frozen vision tower.

    Args:
        loaded: the model, with no plan applied.
        samples: at least one sample.

    Raises:
        ValueError: there are no samples.
    """
    if not samples:
        raise ValueError("a split must have at least one question, got none: check the data set")
    if packing_is_exact(loaded):
        try:
            return pack_split(loaded, samples)
        except Unpackable:
            pass  # for example, images of this split have different numbers of visual tokens
    return PlainSplit(loaded, samples)


__all__ = ["AnswerBatch", "PackedSplit", "PlainSplit", "Prepared", "prepare"]
