"""Computes the margins of right answers over the likeliest wrong ones, in nats; surrogates learn from them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from objectives.metrics import METRICS
from workers.evaluation.likelihood import token_scores
from workers.inference.prepare import Prepared
from workers.models.loaded_model import LoadedModel
from workers.models.prompt_forms import target

MOST = 512
"""Maximum number of questions whose margins are computed."""
STEPS, FARTHEST = 2, 8
"""Steps per nat, and maximum magnitude in nats, to which margins are rounded and clipped."""


def answer_margins(loaded: LoadedModel, prepared: Prepared, metric: str, questions: int) -> tuple[float, ...]:
    """Return the margins of the right answers to the first questions, in nats.

    The margin of a token is its teacher-forced logit minus the highest other logit; greedy decoding takes the token if
    the margin is above 0. The margin of an answer is the minimum over its tokens including end-of-sequence, since one
    wrong token makes another answer; if the metric scores parts of answers, it is the mean.

    Args:
        loaded: the model.
        prepared: the split.
        metric: name of a metric.
        questions: number of questions, from the first; at most `MOST` are used.

    Raises:
        NonFinite: a logit is NaN or infinite.
    """
    return joined(metric, token_scores(loaded, prepared, right_answers(prepared, questions), token_margins))


def right_answers(prepared: Prepared, questions: int) -> list[tuple[int, str]]:
    """Return the index and the right answer of the first questions, at most `MOST`."""
    return [(index, target(sample)) for index, sample in enumerate(prepared.samples[: min(questions, MOST)])]


def joined(metric: str, of_tokens: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Return the margin of each answer for the margins of its tokens, rounded and clipped, in nats."""
    whole = fmean if METRICS[metric].scores_parts else min
    return tuple(nats(coarse(np.array([whole(own) for own in of_tokens]))).tolist())


def token_margins(logits: Tensor, right: Tensor) -> Tensor:
    """Return the (tokens,) float32 margins of (tokens,) right ids under (tokens, vocabulary) logits."""
    # Masking the right tokens would copy the logits, which is expensive for a large vocabulary.
    highest, tokens = logits.topk(2)
    rival = torch.where(tokens[:, 0] == right, highest[:, 1], highest[:, 0])
    return logits.gather(-1, right[:, None])[:, 0].float() - rival.float()


def coarse(margins: NDArray[np.floating]) -> NDArray[np.int8]:
    """Return the number of the step that each margin, in nats, falls into; at least 0 for margins of at least 0."""
    most = FARTHEST * STEPS
    steps: NDArray[np.int8] = np.clip(np.floor(margins * STEPS), -most, most - 1).astype(np.int8)
    return steps


def nats(steps: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return the middle of each step, in nats, for numbers of steps as `coarse` returns them."""
    return (steps + 0.5) / STEPS
