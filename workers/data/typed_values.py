"""Converts values by the types of their columns: class numbers to names, floats of 16 and 32 bits to what was rounded.

A float32 of 0.1 is read as 0.1, not as 0.10000000149011612. A class number without a name, such as -1, is no value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

NARROW = {"float16": np.float16, "halffloat": np.float16, "float32": np.float32, "float": np.float32}
"""Name of a type in the features of a table -> numpy type, whose `str` is the shortest text of a number."""

Convert = Callable[[Any], Any]
"""Function that converts one value of a column."""


def with_typed_values(
    rows: Iterable[Mapping[str, Any]], features: Mapping[str, Any] | None
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows with names for class numbers, and 64-bit floats of the shortest text for narrower ones.

    Args:
        rows: rows of a table.
        features: column -> feature of the `datasets` library; None if types are unknown.
    """
    found = {name: _conversion(feature) for name, feature in (features or {}).items()}
    typed = {name: convert for name, convert in found.items() if convert is not None}
    for row in rows:
        yield {**row, **{name: typed[name](row[name]) for name in typed if name in row}} if typed else row


def _conversion(feature: Any) -> Convert | None:
    """Return the conversion for a feature of `datasets`; None if values stay as they are."""
    names = getattr(feature, "names", None)
    if names is not None:
        return lambda value: _named(value, names)
    kind = NARROW.get(getattr(feature, "dtype", None) or "")
    if kind is not None:
        return lambda value: float(str(kind(value))) if isinstance(value, float) else value
    if isinstance(feature, Mapping):
        inner = {name: each for name in feature if (each := _conversion(feature[name])) is not None}
        return (lambda value: _in_record(value, inner)) if inner else None
    part = feature[0] if isinstance(feature, list) and feature else getattr(feature, "feature", None)
    one = _conversion(part) if part is not None else None
    return None if one is None else (lambda value: [one(each) for each in value] if isinstance(value, list) else value)


def _named(value: Any, names: Sequence[str]) -> Any:
    """Return the name of a class number; None for a number without a name."""
    if not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None


def _in_record(value: Any, inner: Mapping[str, Convert]) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: inner[name](each) if name in inner else each for name, each in value.items()}
