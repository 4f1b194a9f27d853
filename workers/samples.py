"""Data sets: a sample is one question about one image, whatever the source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from spaces.names import unknown
from workers.requests import DataSource, Split

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True)
class Sample:
    """One question about one image."""

    image: Image | np.ndarray
    """RGB; an array is (height, width, 3) uint8."""
    image_id: str
    """Samples with the same id share their image: features are cached and questions packed by it."""
    question: str
    answers: tuple[str, ...]
    """All accepted answers, the one to train on first."""
    kind: str
    """Kind of question, for accuracy per kind."""
    choices: tuple[str, ...] = ()
    """What may be answered to a multiple choice, as the model is to answer it; empty for open questions."""


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
    """Rows left out because their image could not be read."""

    @property
    def rows(self) -> int:
        """Rows read, the skipped ones included."""
        return len(self.samples) + self.skipped


SOURCES = {"embedded": "workers.embedded:embedded_samples"}
"""Name of a data set -> `module:function` of type `(split) -> list[Sample]`, imported only when asked for."""


@lru_cache(maxsize=8)
def load_split(source: DataSource, split: Split) -> SplitData:
    """Reads a split, once in a process: every image has been decoded when this returns.

    A name with a slash, or of a folder, is read as `workers.tables` says. Raises ValueError, in one line, where the
    data set, its splits or columns can't be found, or too many images can't be read.
    """
    if split not in get_args(Split):
        raise unknown("split", split, get_args(Split))
    if source.name in SOURCES:
        module, function = SOURCES[source.name].split(":")
        samples: Callable[[Split], list[Sample]] = getattr(import_module(module), function)
        return SplitData(tuple(samples(split)[: source.limit(split)]))
    if "/" in source.name or Path(source.name).is_dir():
        from workers.tables import read_split

        return read_split(source, split)
    raise unknown("data set", source.name, tuple(SOURCES), "or a hub id such as owner/name, or a local folder")


def load_samples(source: DataSource, split: Split, limit: int | None = None) -> list[Sample]:
    """The samples of a split in their fixed order, at most `limit`. Raises ValueError as `load_split` does."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1 or left out, got {limit}")
    return list(load_split(source, split).samples[:limit])
