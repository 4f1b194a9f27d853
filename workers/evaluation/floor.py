"""Measures the floor of a data set: the accuracy reached without looking at the images of the questions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import torch

from objectives.metrics import METRICS
from workers.data.sample import Sample
from workers.evaluation.evaluate import evaluate
from workers.evaluation.scoring import score_answers
from workers.inference.check_finite import NonFinite
from workers.inference.prepare import Prepared, prepare
from workers.models.loaded_model import LoadedModel
from workers.reports import Floor

CANDIDATES = 20
"""Number of the most common answers that are tried as constant answers."""


def measure_floor(loaded: LoadedModel, prepared: Prepared, metric: str) -> Floor | None:
    """Return the floor over a whole split; None if neither of its accuracies can be measured.

    Args:
        loaded: the model, dense.
        prepared: the split.
        metric: name of the metric of the search.
    """
    constant = best_constant(prepared.samples, metric)
    others, note = _other_images(loaded, prepared.samples, metric)
    answer, accuracy = constant or (None, None)
    if accuracy is None and others is None:
        return None
    return Floor(answer=answer, constant=accuracy, other_images=others, note=note)


def best_constant(samples: Sequence[Sample], metric: str) -> tuple[str, float] | None:
    """Return the best constant answer and its accuracy over the samples.

    For multiple choice it may also be a constant index, such as always the second option. It is None for metrics with
    partial scores, such as those of captions.

    Args:
        samples: the samples of the split.
        metric: name of the metric.
    """
    if METRICS[metric].scores_parts:
        return None
    if METRICS[metric].needs_choices:
        return _best_choice(samples)
    common = Counter(text for sample in samples for text in {_folded(answer) for answer in sample.answers})
    found = [
        (text, fmean(score_answers(metric, [text] * len(samples), samples)))
        for text, _ in common.most_common(CANDIDATES)
    ]
    return max(found, key=lambda each: each[1])


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _best_choice(samples: Sequence[Sample]) -> tuple[str, float]:
    """Return the better one of the best constant text and the best constant index of an option, and its accuracy."""
    texts = Counter(sample.answers[0] for sample in samples)
    places = Counter(f"option {sample.choices.index(sample.answers[0]) + 1}" for sample in samples)
    (text, of_text), (place, of_place) = texts.most_common(1)[0], places.most_common(1)[0]
    return (text, of_text / len(samples)) if of_text >= of_place else (place, of_place / len(samples))


def _other_images(loaded: LoadedModel, samples: Sequence[Sample], metric: str) -> tuple[float | None, str | None]:
    """Return the model's accuracy if each question comes with the images of another one, or None and the reason."""
    swapped = swap_images(samples)
    if swapped is None:
        return None, "not measured with other images: no other question has the same number of images"
    try:
        prepared = prepare(loaded, swapped)
        return prepared.budget.fit(lambda: evaluate(loaded, prepared, metric)).accuracy, None
    except (NonFinite, MemoryError, torch.OutOfMemoryError, ValueError) as error:
        return None, f"not measured with other images: {' '.join(str(error).split())[:200]}"


def swap_images(samples: Sequence[Sample]) -> list[Sample] | None:
    """Return the samples, each with the images of another one; None if there are too few images.

    Among questions with the same number of images, distinct images in order of first appearance are rotated by half
    their number. Questions that shared their images still do.
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
