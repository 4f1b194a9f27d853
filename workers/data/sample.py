"""A sample: one question about one or several images, independent of the data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True)
class Sample:
    """One question about one or several images."""

    image: Image | np.ndarray
    """First image, RGB; an array is (height, width, 3) uint8."""
    image_id: str
    """Id of the images: samples with the same id have the same images, whose features are cached under it."""
    question: str
    """The prompt."""
    answers: tuple[str, ...]
    """All accepted answers; the first is the target of tuning."""
    kind: str
    """Kind of question, for accuracy per kind."""
    choices: tuple[str, ...] = ()
    """Possible answers to a multiple choice, in the form that the model answers; empty for open questions."""
    more_images: tuple[Image | np.ndarray, ...] = ()
    """The further images of the question, in the order of the prompt."""
    score: Callable[[str], float] | None = field(default=None, repr=False, compare=False)
    """Score of an answer, from 0 to 1, for the metric `task`; None for data without scores of their own."""
    max_new_tokens: int | None = None
    """Limit of generated tokens of a task; None for the longest accepted answer and `ROOM`."""

    @property
    def images(self) -> tuple[Image | np.ndarray, ...]:
        """Return all images of the question, in the order of the prompt."""
        return (self.image, *self.more_images)


class DataTask(StrEnum):
    """The task of a data set."""

    QUESTIONS = "questions"
    CAPTIONS = "captions"
    CHOICES = "multiple choice"


@dataclass(frozen=True)
class SplitData:
    """The samples of a split, with facts about how they were read."""

    samples: tuple[Sample, ...]
    """Samples in the order of the rows."""
    task: DataTask = DataTask.QUESTIONS
    columns: Mapping[str, str] = field(default_factory=dict)
    """Role -> column that it was read from; empty if the data set has no columns."""
    skipped: int = 0
    """Number of rows left out because their image is unreadable or the model can't process them."""
    unused: tuple[str, ...] = ()
    """Columns that nothing is read from."""

    @property
    def rows(self) -> int:
        """Return the number of rows read, including skipped ones."""
        return len(self.samples) + self.skipped
