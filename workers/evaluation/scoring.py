"""Scores generated answers by the metric of a search, or by the task that the questions come from."""

from __future__ import annotations

from collections.abc import Sequence

from objectives.metrics import METRICS, scores
from workers.data.sample import Sample


def score_answers(metric: str, answers: Sequence[str], samples: Sequence[Sample]) -> list[float]:
    """Return the score of each generated answer, from 0 to 1.

    Args:
        metric: name of a metric of answers.
        answers: answers to the first samples.
        samples: all samples of the split; CIDEr counts word frequencies over all.

    Raises:
        ValueError: the metric is unknown or one of likelihoods, or the task gives no score from 0 to 1.
    """
    if METRICS[metric].by_task:
        return [_by_task(sample, answer) for sample, answer in zip(samples, answers, strict=False)]
    return scores(metric, answers, [sample.answers for sample in samples])


def _by_task(sample: Sample, answer: str) -> float:
    assert sample.score is not None, "pick_metric takes the metric `task` for samples of a task only"
    return sample.score(answer)
