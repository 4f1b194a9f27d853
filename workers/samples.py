"""Data sets: a sample is one question about one image, whatever the source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from spaces.names import unknown

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

Split = Literal["train", "tune", "search", "test"]
"""`train` tunes, `tune` says whether tuning helped, `search` scores trials, `test` only the final front."""


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


SOURCES = {"embedded": "workers.embedded:embedded_samples"}
"""Name of a data set -> `module:function` of type `(split) -> list[Sample]`, imported only when asked for."""


def load_samples(dataset: str, split: Split, limit: int | None = None) -> list[Sample]:
    """The samples of a split in their fixed order, at most `limit`.

    A name with a slash, or of a folder, is read as `workers.tables` says. Raises ValueError on an unknown name.
    """
    if split not in get_args(Split):
        raise unknown("split", split, get_args(Split))
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1 or left out, got {limit}")
    if dataset not in SOURCES:
        if "/" in dataset or Path(dataset).is_dir():
            from workers.tables import table_samples

            return table_samples(dataset, split, limit)
        raise unknown("data set", dataset, tuple(SOURCES), "or a hub id such as owner/name, or a local folder")
    module, function = SOURCES[dataset].split(":")
    source: Callable[[Split], list[Sample]] = getattr(import_module(module), function)
    return source(split)[:limit]
