"""The floor of a data set: the accuracy that is reached without looking at the picture of the question."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import torch

from objectives.metrics import METRICS, scores
from workers.data.sample import Sample
from workers.evaluation.evaluate import evaluate
from workers.inference.finite import NonFinite
from workers.inference.prepare import Prepared, prepare
from workers.models.loaded_model import LoadedModel
from workers.reports import Floor

CANDIDATES = 20
"""Commonest answers that are scored as constant answers."""


def measure_floor(loaded: LoadedModel, prepared: Prepared, metric: str) -> Floor | None:
    """Return what is reached over a whole split without its pictures; None where neither way can be measured.

    Args:
        loaded: the model, under the dense plan.
        prepared: the split.
        metric: name of the metric that the search scores by.
    """
    constant = best_constant(prepared.samples, metric)
    others, note = _other_images(loaded, prepared.samples, metric)
    answer, accuracy = constant or (None, None)
    if accuracy is None and others is None:
        return None
    return Floor(answer=answer, constant=accuracy, other_images=others, note=note)


def best_constant(samples: Sequence[Sample], metric: str) -> tuple[str, float] | None:
    """Return the answer that scores most when it is given to every question, and its accuracy.

    For choices the answer may also be a place: always the second option. None for metrics that score answers right in
    part, such as captions, where no answer is simply right.
    """
    if METRICS[metric].scores_parts:
        return None
    if METRICS[metric].needs_choices:
        return _best_choice(samples)
    common = Counter(text for sample in samples for text in {_folded(answer) for answer in sample.answers})
    accepted = [sample.answers for sample in samples]
    found = [
        (text, fmean(scores(metric, [text] * len(samples), accepted))) for text, _ in common.most_common(CANDIDATES)
    ]
    return max(found, key=lambda each: each[1])


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _best_choice(samples: Sequence[Sample]) -> tuple[str, float]:
    """Return the best of always taking one text and always taking one place of the options."""
    texts = Counter(sample.answers[0] for sample in samples)
    places = Counter(f"option {sample.choices.index(sample.answers[0]) + 1}" for sample in samples)
    (text, of_text), (place, of_place) = texts.most_common(1)[0], places.most_common(1)[0]
    return (text, of_text / len(samples)) if of_text >= of_place else (place, of_place / len(samples))


def _other_images(loaded: LoadedModel, samples: Sequence[Sample], metric: str) -> tuple[float | None, str | None]:
    """Return the model's accuracy when every question comes with the images of another, or None and the reason."""
    swapped = swap_images(samples)
    if swapped is None:
        return None, "not measured with other images: some questions have the only images of their kind"
    try:
        return evaluate(loaded, prepare(loaded, swapped), metric).accuracy, None
    except (NonFinite, MemoryError, torch.OutOfMemoryError, ValueError) as error:
        return None, f"not measured with other images: {' '.join(str(error).split())[:200]}"


def swap_images(samples: Sequence[Sample]) -> list[Sample] | None:
    """Return the questions, each with the images of another; None where that can't be done.

    Distinct images, in order of first appearance, are rolled by half their number, among questions about the same
    number of images. Questions that share their images do so afterwards.
    """
    distinct: dict[int, dict[str, Sample]] = defaultdict(dict)
    for sample in samples:
        distinct[len(sample.images)].setdefault(sample.image_id, sample)
    donors: dict[tuple[int, str], Sample] = {}
    for count, firsts in distinct.items():
        if len(firsts) < 2:
            return None
        ids, offset = list(firsts), len(firsts) // 2
        donors |= {(count, name): firsts[ids[(place + offset) % len(ids)]] for place, name in enumerate(ids)}
    return [_with_images(sample, donors[len(sample.images), sample.image_id]) for sample in samples]


def _with_images(sample: Sample, donor: Sample) -> Sample:
    return replace(sample, image=donor.image, image_id=donor.image_id, more_images=donor.more_images)
