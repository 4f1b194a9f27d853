"""Draws yes-no questions about images of `train` with as many "yes" as "no" per text.

An easy-VQA image has one shape of one color, which its questions for color and shape tell. The answer to a yes-no text
of the package follows from them: "yes" if the named color or shape is the image's, reversed if the text is negated.
`facts_of` checks this rule on every yes-no question of the split.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workers.data.sample import Sample
from workers.pretrained.easy_vqa import SHAPES

COLORS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
"""Answers of the kind `color`."""


@dataclass(frozen=True)
class Asked:
    """A question with its answer, about an image with a color and a shape."""

    text: str
    answer: str
    facts: tuple[str, str]
    """Color and shape."""


@dataclass(frozen=True)
class Facts:
    """The color and shape of images, and the texts of the split."""

    of_image: dict[int, tuple[str, str]]
    """Image number -> color and shape, of images whose questions tell both."""
    yes_no: dict[tuple[str, bool], list[str]] = field(default_factory=dict)
    """(color or shape, is negated) -> texts."""
    open: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """Color and shape -> texts that ask for one of them."""

    def about(self, facts: tuple[str, str], rng: np.random.Generator) -> list[Asked]:
        """Return eight yes-no questions and an open one.

        The yes-no questions name the color, the shape, another color and another shape, each positive and negated, so
        that half of them are answered "yes" whatever the image.

        Args:
            facts: color and shape.
            rng: random numbers.
        """
        other_color = str(rng.choice([color for color in COLORS if color != facts[0]]))
        other_shape = str(rng.choice([shape for shape in SHAPES if shape != facts[1]]))
        asked = [
            Asked(str(rng.choice(self.yes_no[word, negated])), "yes" if (word in facts) != negated else "no", facts)
            for word in (*facts, other_color, other_shape)
            for negated in (False, True)
        ]
        text = str(rng.choice(self.open[facts]))
        return [*asked, Asked(text, facts[0] if "color" in text.split() else facts[1], facts)]


def word_of(text: str) -> tuple[str, bool]:
    """Return the color or shape that a yes-no text names, and True if it is negated."""
    words = re.findall(r"\w+", text)
    (word,) = (each for each in words if each in COLORS or each in SHAPES)
    return word, "not" in words or "no" in words


def facts_of(samples: Sequence[Sample], images: Sequence[int]) -> Facts:
    """Return colors, shapes and texts of a split.

    Args:
        samples: the samples.
        images: image number of each.

    Raises:
        ValueError: a yes-no question is answered by another rule.
    """
    colors: dict[int, str] = {}
    shapes: dict[int, str] = {}
    for sample, image in zip(samples, images, strict=True):
        known = {"color": colors, "shape": shapes}.get(str(sample.kind))
        if known is not None:
            known[image] = sample.answers[0]
    found = Facts({image: (colors[image], shapes[image]) for image in colors if image in shapes})
    for sample, image in zip(samples, images, strict=True):
        facts = found.of_image.get(image)
        if sample.kind == "yes_no":
            word, negated = word_of(sample.question)
            _add(found.yes_no, (word, negated), sample.question)
            if facts and sample.answers[0] != ("yes" if (word in facts) != negated else "no"):
                raise ValueError(f"a yes-no answer must follow from {facts}, got {sample.question!r}")
        elif facts:
            _add(found.open, facts, sample.question)
    return found


def _add(texts: dict[Any, list[str]], key: Any, text: str) -> None:
    own = texts.setdefault(key, [])
    if text not in own:
        own.append(text)
