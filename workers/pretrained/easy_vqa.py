"""Writes the easy-VQA data set as a folder of images with one file of JSON lines per split."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workers.pretrained.packages import QUESTIONS, unpack

NUM_TUNE, NUM_SEARCH = 200, 500
"""Numbers of images of the package's train part that are held out for the splits `tune` and `search`."""
SEED = 0
"""Seed that splits the images and orders the questions."""
TOGETHER = 4
"""Number of successive questions about one image, so that the first N questions of a split are about N / 4 images."""
SHAPES = ("circle", "rectangle", "triangle")
"""Answers of the kind `shape`."""


@dataclass(frozen=True)
class Question:
    """A question with its answer, about an image of the package."""

    text: str
    answer: str
    image: int

    @property
    def kind(self) -> str:
        """Return `yes_no`, `shape` or `color`."""
        if self.answer in ("yes", "no"):
            return "yes_no"
        return "shape" if self.answer in SHAPES else "color"


def write_data(packages: Path, folder: Path) -> None:
    """Write the splits `train`, `tune`, `search` and `test`; no image is in two of them.

    `test` is the test part of the package; the others are its train part, by image.

    Args:
        packages: folder of unpacked packages.
        folder: folder to write.

    Raises:
        MissingPackage: the package cannot be had.
    """
    source = unpack(QUESTIONS, packages) / "easy_vqa" / "data"
    for split, (part, questions) in _splits(source).items():
        _copy_images(source / part / "images", folder / part, {question.image for question in questions})
        lines = [json.dumps(_row(part, question)) for question in questions]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")


def _splits(source: Path) -> Mapping[str, tuple[str, Sequence[Question]]]:
    """Return, by split, the part of the package and its questions in order."""
    train, test = _read(source / "train"), _read(source / "test")
    images = np.random.default_rng(SEED).permutation(sorted({question.image for question in train})).tolist()
    tune, search = set(images[:NUM_TUNE]), set(images[NUM_TUNE : NUM_TUNE + NUM_SEARCH])
    return {
        "train": ("train", _ordered(question for question in train if question.image not in tune | search)),
        "tune": ("train", _ordered(question for question in train if question.image in tune)),
        "search": ("train", _ordered(question for question in train if question.image in search)),
        "test": ("test", _ordered(test)),
    }


def _read(part: Path) -> list[Question]:
    return [Question(*row) for row in json.loads((part / "questions.json").read_text())]


def _ordered(questions: Iterable[Question]) -> list[Question]:
    """Return the questions in random order, in rounds of `TOGETHER` successive questions per image."""
    rng = np.random.default_rng(SEED)
    by_image: dict[int, list[Question]] = {}
    for question in questions:
        by_image.setdefault(question.image, []).append(question)
    shuffled = [[own[i] for i in rng.permutation(len(own))] for own in by_image.values()]
    images = [shuffled[i] for i in rng.permutation(len(shuffled))]
    return list(_in_rounds(images))


def _in_rounds(images: Sequence[Sequence[Question]]) -> Iterator[Question]:
    for start in range(0, max(map(len, images)), TOGETHER):
        for own in images:
            yield from own[start : start + TOGETHER]


def _row(part: str, question: Question) -> dict[str, str]:
    return {
        "image": f"{part}/{question.image}.png",
        "question": question.text,
        "answer": question.answer,
        "kind": question.kind,
    }


def _copy_images(source: Path, target: Path, images: Iterable[int]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for image in sorted(images):
        shutil.copyfile(source / f"{image}.png", target / f"{image}.png")
