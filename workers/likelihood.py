"""How probable a model finds given answers: what the metrics `choice` and `loss` score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from objectives.metrics import METRICS, likeliest, likelihood
from workers.finite import check_logits
from workers.loading import LoadedModel
from workers.packing import IGNORED, PackedBatch, pack
from workers.prepare import Prepared
from workers.prompts import target

PER_IMAGE = 16
"""Answers in a pack at most."""
TOKENS_AT_ONCE = 8192
"""Tokens in a batch, about."""


def judge(loaded: LoadedModel, prepared: Prepared, metric: str, questions: int) -> tuple[list[str], list[float]]:
    """The answers that the first `questions` questions are judged by, and their scores. Raises NonFinite."""
    samples = prepared.samples[:questions]
    if not METRICS[metric].needs_choices:
        answers = [target(sample) for sample in samples]
        said = answer_log_probs(loaded, prepared, list(enumerate(answers)))
        return answers, [likelihood(values) for values in said]
    asked = [(index, text) for index, sample in enumerate(samples) for text in sample.choices]
    said = iter(answer_log_probs(loaded, prepared, asked))
    # without the end of sequence, as lm-evaluation-harness compares continuations
    answers = [likeliest([sum(next(said)[:-1]) for _ in sample.choices], sample.choices) for sample in samples]
    scores = [float(text == sample.answers[0]) for text, sample in zip(answers, samples, strict=True)]
    return answers, scores


@torch.inference_mode()
def answer_log_probs(loaded: LoadedModel, prepared: Prepared, asked: Sequence[tuple[int, str]]) -> list[list[float]]:
    """Log-probabilities of the tokens of given answers to questions, the end of sequence last.

    Args:
        asked: (index of the question in the split, answer), in any order, any number a question.

    Raises:
        NonFinite: a logit is NaN or infinite.
    """
    found: list[list[float]] = [[] for _ in asked]
    for batch in _batches(loaded, prepared, asked):
        logits = loaded.head(loaded.read(batch, prepared.features)[batch.labels != IGNORED]).float()
        check_logits(logits)
        targets = batch.labels[batch.labels != IGNORED]
        values = logits.log_softmax(-1).gather(-1, targets[:, None]).flatten()
        pack_of, column = (batch.labels != IGNORED).nonzero(as_tuple=True)
        owners = batch.owner[pack_of, batch.segment[pack_of, column] - 1]
        for owner, value in zip(owners.tolist(), values.tolist(), strict=True):
            found[owner].append(value)
    return found


def _batches(loaded: LoadedModel, prepared: Prepared, asked: Sequence[tuple[int, str]]) -> Iterator[PackedBatch]:
    tokenizer, end = loaded.processor.tokenizer, loaded.end_tokens[0]
    items = [
        replace(prepared.items[index], answer=(*tokenizer(text, add_special_tokens=False).input_ids, end))
        for index, text in asked
    ]
    prompt = max(len(item.prompt) for item in items)
    text = max(len(item.prompt) - item.prompt.count(loaded.image_token) + len(item.answer) for item in items)
    packs = pack(
        items,
        PER_IMAGE,
        with_answers=True,
        image_token=loaded.image_token,
        pad_token=loaded.pad_token,
        batch_size=max(1, TOKENS_AT_ONCE // (prompt + PER_IMAGE * text)),
    )
    for batch in packs:
        yield batch.to(loaded.device)
