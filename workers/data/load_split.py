"""Reads the samples of a split of a data set."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import get_args

from spaces.names import unknown
from workers.data.open_tables import is_local
from workers.data.sample import Sample, SplitData
from workers.sources import DataSource, Split

SOURCES = {"embedded": "workers.embedded:embedded_samples", "embedded-chains": "workers.embedded:chain_samples"}
"""Name of a data set -> `module:function` of type `(split) -> list[Sample]`, imported at first use."""


@lru_cache(maxsize=8)
def load_split(source: DataSource, split: Split) -> SplitData:
    """Return a split with all images decoded; cached per process.

    The data set is a task of lmms-eval (`source.task`), or `source.name`: a key of `SOURCES`, a hub id with a slash, or
    a file or folder (`workers.data.read_table`).

    Raises:
        ValueError: the data set, its splits or its columns can't be found, or too many images can't be read; one line.
    """
    if split not in get_args(Split):
        raise unknown("split", split, get_args(Split))
    if source.task is not None:
        from workers.data.harness_task import read_task

        return read_task(source, split)
    if source.name in SOURCES:
        module, function = SOURCES[source.name].split(":")
        samples: Callable[[Split], list[Sample]] = getattr(import_module(module), function)
        return SplitData(tuple(samples(split)[: source.most_rows(split)]))
    if "/" in source.name or is_local(source.name):
        from workers.data.read_table import read_split

        return read_split(source, split)
    raise unknown("data set", source.name, tuple(SOURCES), "or a hub id such as owner/name, a local file or folder")


def load_samples(source: DataSource, split: Split, limit: int | None = None) -> list[Sample]:
    """Return the samples of a split in their fixed order.

    Args:
        source: the settings of the data set.
        split: name of the split.
        limit: maximum number of samples; None for all.

    Raises:
        ValueError: as `load_split`, or `limit` is less than 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1 or left out, got {limit}")
    return list(load_split(source, split).samples[:limit])
