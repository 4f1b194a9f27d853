"""Answers as the file has them: text, numbers, dates and records become the texts that people wrote."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from spaces.names import shown

TEXT_KEYS = ("answer", "caption", "raw", "text")
"""Where the text is in answers that are records."""
PEOPLE = 10
"""So many answers to a question are people asked, as in VQA; fewer are ways to write the right one."""


class Written(float):
    """A number as its file writes it: `2.50` stays `2.50`."""

    def __new__(cls, text: str) -> Written:
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


def is_blank(value: Any) -> bool:
    """Return True for null, NaN, and text without a character."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def text_of(value: Any) -> str:
    """Return a single value as text: whole numbers without `.0`, dates at midnight without a time.

    Raises ValueError for lists, records, bytes and text that no encoding can write.
    """
    if isinstance(value, Written):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime) and value.time() == datetime.time() and value.tzinfo is None:
        value = value.date()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(float(value))
    if isinstance(value, int | Decimal | datetime.date | datetime.time):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"a text must be a text or a number, got {type(value).__name__} {shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"a text must be of whole characters, got half a one in {shown(value)}") from None
    return value


def accepted(value: Any) -> tuple[str, ...]:
    """Return all accepted answers in a cell, the most frequent first; blanks are left out.

    Where people were asked, those who left a blank count: their blanks come last. Raises ValueError.
    """
    given = _values(value)
    texts = [text_of(each) for each in given if not is_blank(each)]
    times = Counter(texts)
    ordered = tuple(sorted(texts, key=lambda text: -times[text]))
    blanks = sum(isinstance(each, str) and not each.strip() for each in given)
    asked_people = len(texts) + blanks >= PEOPLE and blanks < len(texts)
    return ordered + ("",) * blanks if asked_people else ordered


def _values(value: Any, depth: int = 0) -> list[Any]:
    """Yield the single values in a cell: the text of a record, each element of a list."""
    if depth > 8:
        raise ValueError(f"answers must be texts or lists of them, got {shown(value)}")
    if isinstance(value, Mapping):
        key = next((key for key in TEXT_KEYS if key in value), None)
        if key is None and value:
            raise ValueError(f"an answer that is a record must have {', '.join(TEXT_KEYS)}, got {shown(value)}")
        return _values(value[key], depth + 1) if key else []
    if isinstance(value, list | tuple):
        return [text for each in value for text in _values(each, depth + 1)]
    return [value]
