"""Computes log-probabilities of given answers, for the metrics `choice` and `loss`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from objectives.metrics import METRICS, likeliest, likelihood
from workers.inference.check_finite import check_logits
from workers.inference.prepare import AnswerBatch, Prepared
from workers.models.loaded_model import LoadedModel
from workers.models.prompt_forms import target

PER_IMAGE = 16
"""Maximum number of answers per pack."""
Score = Callable[[Tensor, Tensor], Tensor]
"""(tokens, vocabulary) logits, (tokens,) token ids -> (tokens,) scores."""


def score_choices(
    loaded: LoadedModel, prepared: Prepared, metric: str, questions: int
) -> tuple[list[str], list[float]]:
    """Return the scored answers of the first questions, and their scores.

    Args:
        loaded: the model.
        prepared: the split.
        metric: a metric that reads likelihoods.
        questions: number of questions, from the first.

    Raises:
        NonFinite: a logit is NaN or infinite.
    """
    samples = prepared.samples[:questions]
    if not METRICS[metric].needs_choices:
        answers = [target(sample) for sample in samples]
        log_probabilities = answer_log_probs(loaded, prepared, list(enumerate(answers)))
        return answers, [likelihood(values) for values in log_probabilities]
    pairs = [(index, text) for index, sample in enumerate(samples) for text in sample.choices]
    of_choices = iter(answer_log_probs(loaded, prepared, pairs))
    # without end-of-sequence, as lm-evaluation-harness compares continuations
    answers = [likeliest([sum(next(of_choices)[:-1]) for _ in sample.choices], sample.choices) for sample in samples]
    scores = [float(text == sample.answers[0]) for text, sample in zip(answers, samples, strict=True)]
    return answers, scores


def answer_log_probs(loaded: LoadedModel, prepared: Prepared, pairs: Sequence[tuple[int, str]]) -> list[list[float]]:
    """Return, per given answer, the log-probabilities of its tokens, in nats.

    Args:
        loaded, prepared, pairs: as in `token_scores`.

    Raises:
        NonFinite: a logit is NaN or infinite.
    """
    return token_scores(loaded, prepared, pairs, log_probs)


def token_scores(
    loaded: LoadedModel, prepared: Prepared, pairs: Sequence[tuple[int, str]], score: Score
) -> list[list[float]]:
    """Return, per given answer, a teacher-forced score of each of its tokens; the last one is end-of-sequence.

    Args:
        loaded: the model.
        prepared: the split.
        pairs: (index of the question in the split, answer), in any order, any number per question.
        score: (tokens, vocabulary) logits, (tokens,) token ids -> (tokens,) scores.

    Raises:
        NonFinite: a logit is NaN or infinite.
    """
    return [values for step in score_steps(loaded, prepared, pairs, score) for values in step()]


def score_steps(
    loaded: LoadedModel, prepared: Prepared, pairs: Sequence[tuple[int, str]], score: Score
) -> Iterator[Callable[[], list[list[float]]]]:
    """Yield a function per batch that returns the scores of its answers, so that many plans can run on one batch.

    Args:
        loaded, prepared, pairs, score: as in `token_scores`.
    """
    at_once = prepared.sequences_at_once(loaded)
    for start in range(0, len(pairs), at_once):
        indices, answers = zip(*pairs[start : start + at_once], strict=True)
        batch = prepared.answer_batch(loaded, indices, PER_IMAGE, answers)
        yield partial(_score_batch, loaded, prepared, batch, answers, score)


@torch.inference_mode()
def _score_batch(
    loaded: LoadedModel, prepared: Prepared, batch: AnswerBatch, answers: Sequence[str], score: Score
) -> list[list[float]]:
    logits = prepared.answer_logits(loaded, batch)
    check_logits(logits)
    scores = score(logits, batch.targets).tolist()
    found: list[list[float]] = [[] for _ in answers]
    for index in batch.order.tolist():
        length = len(loaded.answer_tokens(answers[index]))
        found[index], scores = scores[:length], scores[length:]
    return found


def log_probs(logits: Tensor, tokens: Tensor) -> Tensor:
    """Return the (tokens,) log-probabilities of (tokens,) ids under (tokens, vocabulary) logits."""
    return logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
