"""Reads the options of multiple-choice questions, and determines how a column encodes the right option.

All rows of a column use one encoding: index from 0, index from 1, letter, or text of the option.
"""

from __future__ import annotations

import ast
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from string import ascii_uppercase
from typing import Any, Literal, get_args

from spaces.names import shown
from workers.data.answers import is_blank, text_of

log = logging.getLogger(__name__)

Reading = Literal["index", "index1", "letter", "text"]
"""Encoding of the right option: its index from 0, its index from 1, its letter, or its text."""
READINGS: tuple[Reading, ...] = get_args(Reading)
OWN_COLUMN = re.compile(r"(?:(?:options?|choices?|opt)[ _-]?([a-z]|\d+))|([a-z])", re.IGNORECASE)
"""Names of columns that hold one option each, such as `A` or `option_1`; one group matches its letter or number."""
NUMBERED = re.compile(r".*?([01])")
"""Name of the first of several columns with one option each, when these are numbered."""
LABELS = ("label", "key", "letter", "id")
"""Keys of the letter or number of an option that is a record."""
WRITTEN_LABEL = re.compile(r"\(?([A-Za-z])[.):][ \t]+(?=\S)|\(([A-Za-z])\)(?=\S)")
"""A letter at the beginning of the text of an option: `A. `, `A) `, `A: ` or `(A)`. Numbers may be dates or ranks."""
LONGEST_TEXT = 100_000
"""Maximum number of characters of a list of options given as text."""


class Options(list[Any]):
    """The options of a row as stored."""

    def __init__(self, options: Iterable[Any], first_number: int | None = None) -> None:
        super().__init__(options)
        self.first_number = first_number
        """Number of the first option, 0 or 1; None if the row does not number its options."""


def option_columns(names: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that hold one option each, in order, such as `A`, `B`, `C` or `option_1`, `option_2`.

    Returns:
        The columns, or an empty tuple unless there are at least two that begin at A, 0 or 1 and have no gap.
    """
    series: dict[tuple[str, bool, bool], dict[str, str]] = {}
    for name in names:
        match = OWN_COLUMN.fullmatch(name)
        if match:
            mark = match[1] or match[2]
            kind = (name.removesuffix(mark), mark.isdigit(), mark.isupper())
            series.setdefault(kind, {})[mark.upper()] = name
    return next((columns for marks in series.values() if len(columns := _without_gap(marks)) > 1), ())


def _without_gap(marks: Mapping[str, str]) -> tuple[str, ...]:
    """Return the columns in the order of their marks if these are A, B, ... or 0, 1, ... or 1, 2, ...; else none.

    Args:
        marks: letter or number -> column.
    """
    number = len(marks)
    for order in (ascii_uppercase[:number], [*map(str, range(number))], [*map(str, range(1, number + 1))]):
        if set(order) == set(marks):
            return tuple(marks[mark] for mark in order)
    return ()


def options_of(value: Any, column: str = "") -> Options:
    """Return the options of a cell as stored, without blank ones at the end.

    Args:
        value: a list, a record by letter or number, texts with their labels, or one of these as JSON or Python text.
        column: name of the first column, if every option has a column of its own.

    Raises:
        ValueError: there are not 2 to 26 single values, or one before the last is blank.
    """
    given = _by_label(_parsed(value) if isinstance(value, str) else value)
    number = NUMBERED.fullmatch(column)
    first_number = int(number[1]) if number else None
    if isinstance(given, Mapping):
        first_number = next((number for number in (0, 1) if str(number) == min(map(str, given), default="")), None)
        given = _by_letter(given)
    listed = list(given) if isinstance(given, list | tuple) else []
    while listed and is_blank(listed[-1]):
        listed.pop()
    listed = _without_letters(listed)
    is_wrong = any(is_blank(each) or isinstance(each, Mapping | list | tuple | bytes) for each in listed)
    if is_wrong or not 2 <= len(listed) <= len(ascii_uppercase):
        raise ValueError(
            f"choices must be a list of 2 to {len(ascii_uppercase)} texts, blank only at the end, got {shown(value)}: "
            "leave them out, or --choices-column none"
        )
    return Options(listed, first_number)


def _without_letters(options: list[Any]) -> list[Any]:
    """Return the options without the letters `A.`, `B.`, ... that their texts begin with; unchanged if one has none.

    Raises:
        ValueError: the letters are in another order than the options, so that a right letter can mean two of them.
    """
    texts = [each.strip() if isinstance(each, str) else "" for each in options]
    found = [match for each in texts if (match := WRITTEN_LABEL.match(each))]
    letters = "".join(match[1] or match[2] for match in found).upper()
    if len(letters) < max(2, len(options)) or sorted(letters) != list(ascii_uppercase[: len(letters)]):
        return options
    if list(letters) != sorted(letters):
        raise ValueError(
            f"options that begin with letters must be in the order of these, got {shown(options)}: sort them, or "
            "remove the letters"
        )
    return [text[match.end() :] for text, match in zip(texts, found, strict=True)]


def _by_label(value: Any) -> Any:
    """Return label -> text for options that are stored as texts with labels, else the value itself.

    The formats are that of ARC, {text: [...], label: [...]}, and a list of records such as {label: A, text: ...}.
    """
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        texts, labels = value["text"], value.get("label")
    elif isinstance(value, list | tuple) and all(isinstance(each, Mapping) and "text" in each for each in value):
        texts = [each["text"] for each in value]
        label = next((key for key in LABELS if all(key in each for each in value)), None)
        labels = None if label is None else [each[label] for each in value]
    else:
        return value
    if not isinstance(labels, list):
        return texts
    pairs = [pair for pair in zip(labels, texts, strict=False) if not (is_blank(pair[0]) and is_blank(pair[1]))]
    by_label = {str(label): text for label, text in pairs}
    return by_label if len(by_label) == len(pairs) and len(labels) == len(texts) else None


def _parsed(text: str) -> Any:
    """Return the list or record in a JSON or Python text; None for any other text."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text) if len(text) <= LONGEST_TEXT else None
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


def _by_letter(record: Mapping[str, Any]) -> list[Any] | None:
    marks = {str(key).upper(): str(key) for key in record}
    return [record[key] for key in _without_gap(marks)] if len(marks) == len(record) else None


def place_of(value: Any, options: Sequence[str], reading: Reading) -> int | None:
    """Return the index of the right option, from 0, under one encoding; None if the value does not fit it.

    Args:
        value: the answer as stored.
        options: texts of the options.
        reading: the encoding.
    """
    number = _number(value)
    if reading in ("index", "index1"):
        place = None if number is None else number - (reading == "index1")
    elif reading == "letter":
        place = _letter(value, options) if isinstance(value, str) else None
    else:
        place = _same_text(text_of(value), options)
    return place if place is not None and 0 <= place < len(options) else None


def find_reading(rows: Iterable[tuple[Any, Sequence[Any]]], column: str) -> Reading:
    """Return the encoding of the right option under which each answer of a column is one of its options.

    Args:
        rows: (answer, options) as stored. Rows without a label (blank or negative) are ignored.
        column: name of the column, for error messages.

    Raises:
        ValueError: no encoding fits all rows, or several fit all rows and disagree on the option of one.
    """
    fits: Counter[Reading] = Counter()
    seen, differs = 0, None
    breaks: dict[Reading, tuple[int, Any]] = {}
    for row, (value, options) in enumerate(rows):
        if is_blank(value) or (_number(value) or 0) < 0:
            continue
        seen += 1
        places = _places(value, options)
        fits.update(places.keys())
        for reading in READINGS:
            if reading not in places:
                breaks.setdefault(reading, (row, value))
        if differs is None and len({place for reading, place in places.items() if reading != "index1"}) > 1:
            differs = (row, value, options)
    return _chosen(column, [each for each in READINGS if fits[each] == seen], fits, differs, breaks)


def _places(value: Any, options: Sequence[Any]) -> dict[Reading, int]:
    """Return the index of the right option by encoding, for the encodings that the value fits."""
    texts = [text_of(each).strip() for each in options]
    places = {reading: place_of(value, texts, reading) for reading in READINGS}
    if not isinstance(value, str) and all(isinstance(each, str) for each in options):
        places["text"] = None  # a number can't be the text of an option if all options are texts
    first_number = getattr(options, "first_number", None)
    if first_number is not None:
        places["index" if first_number else "index1"] = None  # options are numbered from the other one
    return {reading: place for reading, place in places.items() if place is not None}


def _chosen(
    column: str, whole: list[Reading], fits: Counter[Reading], differs: Any, breaks: Mapping[Reading, tuple[int, Any]]
) -> Reading:
    """Return the encoding that fits all rows.

    Args:
        column: name of the column, for error messages.
        whole: encodings that fit all rows.
        fits: encoding -> number of rows that it fits.
        differs: (row, answer, options) of the first row for which encodings give different options; None if there is
            none.
        breaks: encoding -> (row, answer) of the first row that it does not fit.
    """
    if not whole:
        nearest = fits.most_common(1)[0][0] if fits else "letter"
        row, value = breaks[nearest]
        raise ValueError(
            f"the answer must be one of the choices, in one way in all of column {column!r} (index from 0, letter or "
            f"text), got {shown(value)} in row {row}: correct it, or name another --answer-column"
        )
    if "index" in whole and "index1" in whole:
        if fits:
            log.warning(
                "column %r is read as index from 0, though no answer is 0: set --answer-as index1 if it counts from 1",
                column,
            )
        whole.remove("index1")
    if len(whole) > 1 and differs is not None:
        row, value, options = differs
        raise ValueError(
            f"the right option must be given in one way, got {shown(value)} of {shown(options)} in row {row}: column "
            f"{column!r} can be read as {' or as '.join(whole)}, choose one with --answer-as"
        )
    return whole[0]


def _number(value: Any) -> int | None:
    """Return the integer that a value is or that its text denotes, such as 2, 2.0 or `2`; None for other values."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) else None


def _letter(text: str, options: Sequence[str]) -> int | None:
    """Return the index of a letter: `B`, `b`, `(B)`, `B.`, or `B. blue` if that option is blue; else None."""
    match = re.fullmatch(r"\(?\s*([A-Za-z])\s*(?:[).:]+\s*(.*))?", text.strip(), re.DOTALL)
    if match is None:
        return None
    place = ascii_uppercase.index(match[1].upper())
    if match[2] and (place >= len(options) or match[2].strip().casefold() != options[place].casefold()):
        return None
    return place


def _same_text(text: str, options: Sequence[str]) -> int | None:
    """Return the index of the only option with this text; case is ignored if no option has the same case."""
    text = text.strip()
    for fold in (str, str.casefold):
        found = [place for place, option in enumerate(options) if fold(option) == fold(text)]
        if found:
            return found[0] if len(found) == 1 else None
    return None
