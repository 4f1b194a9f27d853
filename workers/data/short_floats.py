"""Converts float16 and float32 columns to the numbers that they were rounded from: 0.1, not 0.10000000149011612."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

NARROW = {"float16": np.float16, "halffloat": np.float16, "float32": np.float32, "float": np.float32}
"""Name of a type in the features of a table -> numpy type, whose `str` is the shortest text of a number."""

Shorten = Callable[[Any], Any]
"""Function that converts one value of a column."""


def with_short_floats(
    rows: Iterable[Mapping[str, Any]], features: Mapping[str, Any] | None
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows with each float16 or float32 replaced by the 64-bit float of the shortest text that identifies it.

    Args:
        rows: rows of a table.
        features: column -> feature of the `datasets` library; None if types are unknown.
    """
    found = {name: _shortening(feature) for name, feature in (features or {}).items()}
    narrow = {name: shorten for name, shorten in found.items() if shorten is not None}
    for row in rows:
        yield {**row, **{name: narrow[name](row[name]) for name in narrow if name in row}} if narrow else row


def _shortening(feature: Any) -> Shorten | None:
    """Return the conversion for a feature of `datasets`; None if it holds no narrow floats."""
    kind = NARROW.get(getattr(feature, "dtype", None) or "")
    if kind is not None:
        return lambda value: float(str(kind(value))) if isinstance(value, float) else value
    if isinstance(feature, Mapping):
        inner = {name: each for name in feature if (each := _shortening(feature[name])) is not None}
        return (lambda value: _in_record(value, inner)) if inner else None
    part = feature[0] if isinstance(feature, list) and feature else getattr(feature, "feature", None)
    one = _shortening(part) if part is not None else None
    return None if one is None else (lambda value: [one(each) for each in value] if isinstance(value, list) else value)


def _in_record(value: Any, inner: Mapping[str, Shorten]) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: inner[name](each) if name in inner else each for name, each in value.items()}
