"""How likely a model finds given answers: what multiple choice and the metric `loss` are judged by."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from workers.finite import check_logits
from workers.loading import LoadedModel
from workers.prepare import Prepared


@torch.no_grad()
def answer_log_probs(loaded: LoadedModel, prepared: Prepared, asked: Sequence[tuple[int, str]]) -> list[list[float]]:
    """Log-probabilities of every token of each answer, given the question and the tokens before.

    `asked` are pairs of a sample's index and an answer. One list per pair, the end-of-sequence token last. Raises
    NonFinite.
    """
    at_once = prepared.sequences_at_once(loaded)
    found: list[list[float]] = []
    for start in range(0, len(asked), at_once):
        indices, answers = zip(*asked[start : start + at_once], strict=True)
        found += _of_batch(loaded, prepared, indices, answers)
    return found


def _of_batch(
    loaded: LoadedModel, prepared: Prepared, indices: Sequence[int], answers: Sequence[str]
) -> list[list[float]]:
    lesson = prepared.lesson(loaded, indices, len(indices), answers)
    logits = prepared.answer_logits(loaded, lesson)
    check_logits(logits)
    told = logits.log_softmax(-1).gather(-1, lesson.targets[:, None])[:, 0].tolist()
    found: list[list[float]] = [[] for _ in indices]
    for index in lesson.order.tolist():
        length = len(loaded.answer_tokens(answers[index]))
        found[index], told = told[:length], told[length:]
    return found
