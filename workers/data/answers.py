"""Converts the answers of a file (texts, numbers, dates, records, lists) to text as written in the file."""

from __future__ import annotations

import ast
import datetime
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from spaces.names import shown

TEXT_KEYS = ("answer", "caption", "raw", "text")
"""Keys of the text in answers that are records, in order of preference."""
COUNT_KEYS = ("count", "counts", "votes", "frequency")
"""Keys of the number of times that an answer was given, in records, in order of preference."""
MOST_TIMES = 1000
"""Maximum number of times per answer."""
LIST_AS_TEXT = re.compile(r"\s*(array\()?\[\s*['\"{].*\](, dtype=\w+)?\)?\s*", re.DOTALL)
"""A list of texts or records that was written as text; `[1]` may be an answer."""
LONGEST_LIST = 100_000
"""Maximum number of characters of a list written as text."""
PEOPLE = 10
"""Number of answers per question from which each is taken as the answer of one annotator, as in VQA; fewer answers are
taken as alternatives."""


class Written(float):
    """A number that keeps its text in the file, such as `2.50`."""

    def __new__(cls, text: str) -> Written:
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


def is_blank(value: Any) -> bool:
    """Return True for None, NaN, and text without visible characters."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def text_of(value: Any) -> str:
    """Return a single value as text: whole numbers without `.0`, dates at midnight without a time.

    Raises:
        ValueError: the value is a list, a record or bytes, or a text that can't be encoded.
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
        raise ValueError(f"a value must be a text, a number or a date, got {type(value).__name__} {shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"a text must be valid Unicode, got an unpaired surrogate in {shown(value)}") from None
    return value


def accepted(value: Any) -> tuple[str, ...]:
    """Return all accepted answers of a cell, most frequent first, without blank ones.

    If each answer is that of one annotator (`PEOPLE` or more), blank answers are kept and come last.

    Raises:
        ValueError: an answer can't be converted to text.
    """
    given = _values(value)
    texts = [text_of(each) for each in given if not is_blank(each)]
    times = Counter(texts)
    ordered = tuple(sorted(texts, key=lambda text: -times[text]))
    blanks = sum(isinstance(each, str) and not each.strip() for each in given)
    has_annotators = len(texts) + blanks >= PEOPLE and blanks < len(texts)
    return ordered + ("",) * blanks if has_annotators else ordered


def _values(value: Any, depth: int = 0) -> list[Any]:
    """Return the single values of a cell: the text of a record, the elements of a list."""
    if depth > 8:
        raise ValueError(f"answers must be texts or lists of them, got {shown(value)}")
    if isinstance(value, Mapping):
        key = next((key for key in TEXT_KEYS if key in value), None)
        if key is None and value:
            raise ValueError(f"an answer that is a record must have {', '.join(TEXT_KEYS)}, got {shown(value)}")
        return _counted(_values(value[key], depth + 1), value) if key else []
    if isinstance(value, list | tuple):
        return [text for each in value for text in _values(each, depth + 1)]
    if isinstance(value, str) and LIST_AS_TEXT.fullmatch(value):
        return _values(_listed(value), depth + 1)
    return [value]


def _listed(text: str) -> list[Any]:
    """Return the list that a text is, in JSON or as Python writes it.

    Raises:
        ValueError: it is neither, such as the text of an array, which has no commas, so that its parts run together.
    """
    try:
        if len(text) <= LONGEST_LIST:
            return list(json.loads(text))
    except (ValueError, RecursionError):
        pass
    try:
        found = ast.literal_eval(text.strip()) if len(text) <= LONGEST_LIST else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        found = None
    if not isinstance(found, list) or repr(found) != text.strip():
        raise ValueError(f"a list of answers as text must be in JSON or as Python writes it, got {shown(text)}")
    return found


def _counted(texts: list[Any], record: Mapping[str, Any]) -> list[Any]:
    """Return the answers of a record, each as often as the record counts it; once if it counts none.

    Raises:
        ValueError: the counts are not one whole number per answer.
    """
    counts = next((record[key] for key in COUNT_KEYS if record.get(key) is not None), None)
    if counts is None:
        return texts
    numbers = list(counts) if isinstance(counts, list | tuple) else [counts]
    whole = [each for each in numbers if isinstance(each, int) and 0 <= each <= MOST_TIMES]
    if not len(whole) == len(numbers) == len(texts):
        raise ValueError(
            f"answers with counts must have one whole number from 0 to {MOST_TIMES} each, got {shown(dict(record))}"
        )
    return [text for text, times in zip(texts, whole, strict=True) for _ in range(times)]
