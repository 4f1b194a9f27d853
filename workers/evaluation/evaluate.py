"""Answers the questions of a split by greedy decoding, and scores the answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from objectives.metrics import METRICS, Reads
from workers.data.sample import Sample
from workers.evaluation.likelihood import score_choices
from workers.evaluation.scoring import score_answers
from workers.inference.prepare import Prepared
from workers.models.loaded_model import LoadedModel


@dataclass(frozen=True)
class Evaluation:
    """Answers and scores, in the order of the split."""

    answers: tuple[str, ...]
    scores: tuple[float, ...]
    kinds: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        """Return the mean score."""
        return fmean(self.scores)

    @property
    def accuracy_by_kind(self) -> dict[str, float]:
        """Return the mean score per kind of question."""
        by_kind = defaultdict(list)
        for kind, value in zip(self.kinds, self.scores, strict=True):
            by_kind[kind].append(value)
        return {kind: fmean(values) for kind, values in sorted(by_kind.items())}


def evaluate(loaded: LoadedModel, prepared: Prepared, metric: str, questions: int | None = None) -> Evaluation:
    """Answer questions and score each answer.

    Args:
        loaded: the model.
        prepared: the split.
        metric: name of a metric.
        questions: number of questions, from the first; None for all.

    Raises:
        NonFinite: a logit is NaN or infinite.
    """
    samples = prepared.samples[:questions]
    if METRICS[metric].reads is Reads.LIKELIHOODS:
        answers, values = score_choices(loaded, prepared, metric, len(samples))
        return _evaluation(answers, values, samples)
    return score_texts(prepared, metric, answer(loaded, prepared, len(samples)))


def score_texts(prepared: Prepared, metric: str, answers: Sequence[str]) -> Evaluation:
    """Score generated answers to the first questions of a split.

    Args:
        prepared: the split.
        metric: name of a metric of answers.
        answers: one text per question.
    """
    return _evaluation(answers, score_answers(metric, answers, prepared.samples), prepared.samples[: len(answers)])


def _evaluation(answers: Sequence[str], values: Sequence[float], samples: Sequence[Sample]) -> Evaluation:
    return Evaluation(tuple(answers), tuple(values), tuple(sample.kind for sample in samples))


def answer(loaded: LoadedModel, prepared: Prepared, questions: int) -> list[str]:
    """Return greedy answers as text, without special tokens and without the text that begins every turn.

    Args:
        loaded: the model.
        prepared: the split.
        questions: number of questions, from the first.

    Raises:
        NonFinite: a logit is NaN or infinite.
    """
    return texts_of(loaded, prepared.answer_ids(loaded, questions))


def texts_of(loaded: LoadedModel, ids: Sequence[Sequence[int]]) -> list[str]:
    """Return answers as text, without special tokens and without the text that begins every turn.

    Args:
        loaded: the model.
        ids: token ids of the answers.
    """
    texts = loaded.processor.tokenizer.batch_decode([list(each) for each in ids], skip_special_tokens=True)
    lead = loaded.lead  # computed by the tokenizer
    return [text.strip().removeprefix(lead).strip() for text in texts]
