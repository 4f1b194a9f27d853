"""A sample: one question about one image, whatever data set it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True)
class Sample:
    """One question about one image."""

    image: Image | np.ndarray
    """RGB; an array is (height, width, 3) uint8. The first one where the question is about several."""
    image_id: str
    """Samples with the same id share all their images: features are cached and questions packed by it."""
    question: str
    answers: tuple[str, ...]
    """All accepted answers, the one to train on first."""
    kind: str
    """Kind of question, for accuracy per kind."""
    choices: tuple[str, ...] = ()
    """What may be answered to a multiple choice, as the model is to answer it; empty for open questions."""
    more_images: tuple[Image | np.ndarray, ...] = ()
    """The further images of the question, in the order of the prompt."""

    @property
    def images(self) -> tuple[Image | np.ndarray, ...]:
        """Return all images of the question, in the order of the prompt."""
        return (self.image, *self.more_images)


class DataTask(StrEnum):
    """What a data set asks for."""

    QUESTIONS = "questions"
    CAPTIONS = "captions"
    CHOICES = "multiple choice"


@dataclass(frozen=True)
class SplitData:
    """What was read of a split."""

    samples: tuple[Sample, ...]
    """In the order of the rows."""
    task: DataTask = DataTask.QUESTIONS
    columns: Mapping[str, str] = field(default_factory=dict)
    """What a sample needs -> the column it was read from; empty where the data set has no columns."""
    skipped: int = 0
    """Rows left out because their image could not be read, or because the model can't be asked them."""

    @property
    def rows(self) -> int:
        """Return the number of rows read, including skipped ones."""
        return len(self.samples) + self.skipped
