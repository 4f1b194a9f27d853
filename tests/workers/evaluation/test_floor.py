"""The floor of a data set: the accuracy without the images, computed from the samples."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from workers.data.sample import Sample
from workers.embedded import embedded_path, embedded_samples
from workers.evaluation.evaluate import answer
from workers.evaluation.floor import best_constant, measure_floor, swap_images
from workers.inference.prepare import prepare
from workers.models.load_model import load_model
from workers.sources import ModelSource

PIXELS = np.zeros((4, 4, 3), np.uint8)


def asked(image: str, *answers: str, choices: tuple[str, ...] = (), others: int = 0) -> Sample:
    return Sample(PIXELS, image, "what ?", answers, "all", choices, (PIXELS,) * others)


def test_the_embedded_floor_is_that_of_its_samples() -> None:
    loaded = load_model(ModelSource(name=str(embedded_path()), device="cpu"))
    samples = embedded_samples("search")[:96]
    prepared = prepare(loaded, samples)
    floor = measure_floor(loaded, prepared, "exact_match")
    assert floor is not None
    _, count = Counter(sample.answers[0] for sample in samples).most_common(1)[0]
    assert floor.constant == pytest.approx(count / len(samples))
    # the other images, through the features that the mapping module reads
    rolled = replace(prepared, features=prepared.features.roll(-(len(prepared.features) // 2), 0))
    said = answer(loaded, rolled, len(samples))
    right = sum(one == sample.answers[0] for one, sample in zip(said, samples, strict=True))
    assert floor.other_images == pytest.approx(right / len(samples))
    assert floor.accuracy == max(floor.constant, floor.other_images)
    assert floor.accuracy < 0.5, "questions about these pictures need them"


def test_the_best_constant_answer_is_that_of_the_metric() -> None:
    samples = [asked("a", "Red."), asked("b", "red"), asked("c", "blue"), asked("d", "blue", "red")]
    assert best_constant(samples, "exact_match") == ("red", 0.75)
    people = [asked("a", *["no"] * 10), asked("b", *["yes"] * 2, *["no"] * 8), asked("c", *["yes"] * 10)]
    assert best_constant(people, "vqa") == ("no", pytest.approx(2 / 3))
    assert best_constant(samples, "cider") is None
    assert best_constant(samples, "loss") is None


def test_of_choices_a_place_counts_like_a_letter() -> None:
    letters = [asked("a", right, choices=("A", "B", "C")) for right in "ABBC"]
    assert best_constant(letters, "choice") == ("B", 0.5)
    texts = [asked("a", "two", choices=("one", "two")), asked("b", "cat", choices=("dog", "cat"))]
    assert best_constant(texts, "choice") == ("option 2", 1.0)


def test_every_question_gets_the_pictures_of_another() -> None:
    samples = [asked(name, "x") for name in "aabcc"]
    swapped = swap_images(samples)
    assert swapped is not None
    assert [sample.image_id for sample in swapped] == ["b", "b", "c", "a", "a"]
    assert swap_images([asked("a", "x"), asked("a", "y")]) is None, "there is no other picture"
    assert swap_images([*samples, asked("pair", "x", others=1)]) is None, "none with as many pictures"
