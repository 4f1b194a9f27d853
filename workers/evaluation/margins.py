"""By how much right answers are ahead of wrong ones: what a search learns from, beside how many are right."""

from __future__ import annotations

from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from objectives.metrics import METRICS
from workers.evaluation.likelihood import token_scores
from workers.inference.prepare import Prepared
from workers.models.loaded_model import LoadedModel
from workers.models.prompts import target

MOST = 512
"""Questions at most: what they say together is known long before."""
STEPS, FARTHEST = 2, 8
"""Steps a nat, and nats: a margin is reported as the middle of a step, and as the last one where it is farther. Half a
nat is fine enough for what is learned from it, a byte then holds it."""


def answer_margins(loaded: LoadedModel, prepared: Prepared, metric: str, questions: int) -> tuple[float, ...]:
    """The margins of the right answers to the first `questions` questions, `MOST` at most, in nats.

    The margin of a token is its logit, given the right ones before it, less the highest of all others: greedy decoding
    takes it where that is above 0. An answer has the least of its tokens, the end of sequence among them, since one
    wrong token makes it another answer; where the metric scores parts of answers, the mean. Raises NonFinite.
    """
    asked = [(index, target(sample)) for index, sample in enumerate(prepared.samples[: min(questions, MOST)])]
    whole = fmean if METRICS[metric].scores_parts else min
    margins = [whole(own) for own in token_scores(loaded, prepared, asked, token_margins)]
    return tuple(nats(coarse(np.array(margins))).tolist())


def token_margins(logits: Tensor, right: Tensor) -> Tensor:
    """(tokens,) of (tokens, vocabulary) logits and the (tokens,) right ones."""
    # Not by leaving the right ones out: a copy of the logits of a large vocabulary is dear.
    highest, tokens = logits.topk(2)
    rival = torch.where(tokens[:, 0] == right, highest[:, 1], highest[:, 0])
    return logits.gather(-1, right[:, None])[:, 0].float() - rival.float()


def coarse(margins: NDArray[np.floating]) -> NDArray[np.int8]:
    """The step that every margin lies in; not negative where it is above 0."""
    most = FARTHEST * STEPS
    return np.clip(np.floor(margins * STEPS), -most, most - 1).astype(np.int8)


def nats(steps: NDArray[np.int8]) -> NDArray[np.float64]:
    """The middle of every step."""
    return (steps + 0.5) / STEPS
