"""By how much right answers are ahead of wrong ones: what a search learns from, beside how many are right."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from objectives.metrics import METRICS
from workers.finite import check_logits
from workers.likelihood import PER_IMAGE
from workers.loading import LoadedModel
from workers.prepare import Prepared
from workers.prompts import target

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
    samples = prepared.samples[: min(questions, MOST)]
    answers = [target(sample) for sample in samples]
    at_once, found = prepared.sequences_at_once(loaded), []
    for start in range(0, len(samples), at_once):
        indices = range(start, min(start + at_once, len(samples)))
        lesson = prepared.lesson(loaded, indices, PER_IMAGE, [answers[index] for index in indices])
        with torch.inference_mode():
            logits = prepared.answer_logits(loaded, lesson)
            check_logits(logits)
            margins = token_margins(logits, lesson.targets)
        lengths = [len(loaded.answer_tokens(answers[start + index])) for index in lesson.order.tolist()]
        owner = lesson.order.repeat_interleave(torch.tensor(lengths, device=lesson.order.device)).to(margins.device)
        reduce = "mean" if METRICS[metric].scores_parts else "amin"
        found.append(of_answers(margins, owner, len(indices), reduce).numpy(force=True))
    return tuple(nats(coarse(np.concatenate(found))).tolist())


def token_margins(logits: Tensor, targets: Tensor) -> Tensor:
    """(tokens,) float32 of (tokens, vocabulary) logits and the (tokens,) right ones."""
    places = targets[:, None]
    right = logits.gather(-1, places)[:, 0].float()
    return right - logits.scatter(-1, places, -torch.inf).amax(-1).float()


def of_answers(margins: Tensor, owner: Tensor, answers: int, reduce: str = "amin") -> Tensor:
    """(answers,) margins of answers, each from those of its tokens, given the (tokens,) answer each belongs to."""
    return torch.zeros(answers, device=margins.device).scatter_reduce(0, owner, margins, reduce, include_self=False)


def coarse(margins: NDArray[np.floating]) -> NDArray[np.int8]:
    """The step that every margin lies in; not negative where it is above 0."""
    most = FARTHEST * STEPS
    return np.clip(np.floor(margins * STEPS), -most, most - 1).astype(np.int8)


def nats(steps: NDArray[np.int8]) -> NDArray[np.float64]:
    """The middle of every step."""
    return (steps + 0.5) / STEPS
