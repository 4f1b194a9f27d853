"""Reads tables from text files (JSON lines, JSON, CSV) without inferring types.

Readers that infer one type per column convert 3 to 3.0 if the column also has 2.5, 0042 to 42, "NA" to null, and texts
that look like dates to times.
"""

from __future__ import annotations

import csv
import json
import posixpath
import re
import stat
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, TextIO
from zipfile import BadZipFile, ZipFile

from spaces.names import shortened
from workers.data.answers import Written

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
"""Suffixes of the files that are read."""
FILE_NAME = re.compile(r"(?:(.+)_)?file_name(s?)")
"""Columns of `metadata` files that name images."""
LOOKED_AT = 1000
"""Number of rows whose keys determine the columns."""
BOMS = {b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""Byte order mark -> encoding."""
csv.field_size_limit(2**31 - 1)  # images in base64 exceed the default


@dataclass(frozen=True)
class TextTable:
    """The rows of one split; files are read one after another."""

    files: tuple[str, ...]
    """Paths, or addresses that fsspec can open."""
    metadata: bool = False
    """True for `metadata` files beside the images that they name in `file_name`, as in image folders of `datasets`."""
    base: str = ""
    """Folder or address of the data set, which the resulting image paths are relative to; for `metadata` files."""
    within: str = ""
    """Folder below `base` that images must be in: rows with other images are left out, rows without any are not. Empty
    for all rows."""
    columns: tuple[str, ...] | None = None
    """Columns of the rows; None for all."""

    @property
    def features(self) -> dict[str, Any]:
        """Return column -> None, since types are unknown."""
        return {name: None for row in islice(self, LOOKED_AT) for name in row}

    def select_columns(self, names: Sequence[str]) -> TextTable:
        """Return the table with these columns only."""
        return replace(self, columns=tuple(names))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for file in self.files:
            for row in read_rows(file):
                full = self._placed(row, file) if self.metadata else row
                if self.within and top_folder(full) not in (self.within, None):
                    continue
                yield full if self.columns is None else {name: full.get(name) for name in self.columns}

    def _placed(self, row: Mapping[str, Any], file: str) -> dict[str, Any]:
        """Return a row of a `metadata` file with `file_name` renamed to `image` and its path relative to `base`.

        Likewise `file_names` is renamed to `images`, and `x_file_name` and `x_file_names` to `x`.
        """
        folder = posixpath.relpath(posixpath.dirname(file.partition("::")[0]), self.base)
        found = {name: match for name in row if (match := FILE_NAME.fullmatch(name))}
        plain = {name: value for name, value in row.items() if name not in found}
        return plain | {match[1] or f"image{match[2]}": _below(folder, row[name]) for name, match in found.items()}


def _below(folder: str, value: Any) -> Any:
    """Return a path, or each of a list of paths, relative to the parent of the folder; other values unchanged."""
    if isinstance(value, list):
        return [_below(folder, each) for each in value]
    return posixpath.join(folder, value) if isinstance(value, str) and value.strip() and folder != "." else value


def top_folder(row: Mapping[str, Any]) -> str | None:
    """Return the first folder in the path of the (first) image of a row, which may be empty; None without a path."""
    image = row.get("image") or row.get("images")
    first = image[0] if isinstance(image, list) and image else image
    if not isinstance(first, str) or not first.strip():
        return None
    return posixpath.normpath(first).rpartition("/")[0].partition("/")[0]


def read_rows(file: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file as dicts, column -> value.

    Args:
        file: path or address; the suffix decides the format, and a further suffix the compression.

    Raises:
        ValueError: the content does not have the format of the suffix; one line with the place.
    """
    name = file.partition("::")[0].rpartition("/")[2]  # without folders; of a member of a zip, the member
    kind = next((each for each in SUFFIXES if each in name), ".json")
    try:
        with _opened(file) as text:
            yield from _of_csv(text) if kind in (".csv", ".tsv") else _of_json(text, lines=kind != ".json")
    except UnicodeError:
        raise ValueError(f"a table must be text in UTF-8, {shortened(name)} is not: save it as UTF-8") from None
    except (ValueError, csv.Error, RuntimeError, OverflowError, BadZipFile, zlib.error) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else shortened(str(error), 160)
        raise ValueError(f"a table must have the format of its suffix, {shortened(name)} has not ({why})") from None


def _opened(file: str) -> TextIO:
    """Open a file as text, decompressed, in the encoding of its byte order mark, else UTF-8."""
    import fsspec

    if file.startswith("zip://"):
        return _member(file)
    if "://" not in file and not stat.S_ISREG(Path(file).stat().st_mode):
        raise ValueError("no regular file")
    with fsspec.open(file, "rb", compression="infer") as binary:
        encoding = _encoding(binary.read(4))
    opened: TextIO = fsspec.open(file, "rt", encoding=encoding, newline="", compression="infer").open()
    return opened


def _member(file: str) -> TextIO:
    """Open a member of a local zip file as text; the address has the form zip://member::archive."""
    member, _, archive = file.removeprefix("zip://").partition("::")
    with ZipFile(archive) as opened:
        with opened.open(member) as binary:
            encoding = _encoding(binary.read(4))
        return TextIOWrapper(opened.open(member), encoding, newline="")


def _encoding(start: bytes) -> str:
    """Return the encoding of a text from its first bytes: that of its byte order mark, else UTF-8."""
    return next((each for bom, each in BOMS.items() if start.startswith(bom)), "utf-8-sig")


def _of_csv(text: TextIO) -> Iterator[dict[str, Any]]:
    first = text.readline()
    text.seek(0)
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(text, delimiter=delimiter, strict=True)
    names = reader.fieldnames or []
    if len(set(names)) < len(names):
        raise ValueError(f"columns of the same name: {', '.join(names)}")
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"line {reader.line_num} has other cells than the {len(names)} of the first line")
        yield row


def _of_json(text: TextIO, lines: bool) -> Iterator[dict[str, Any]]:
    if not lines:
        start = text.read(1 << 16).lstrip()[:1]
        text.seek(0)
        if start == "[":
            yield from _records(_parsed(text.read(), "the file"))
            return
        try:
            whole = _parsed(text.read(), "the file")
        except ValueError:
            text.seek(0)  # not one JSON value: JSON lines with the suffix .json
        else:
            yield from _records(_held(whole))
            return
    for number, line in enumerate(text, 1):
        if line.strip():
            yield from _records([_parsed(line, f"line {number}")])


def _held(whole: Any) -> Any:
    """Return the rows of a JSON object: its only list of objects, as in `{"info": ..., "data": [...]}`, else itself.

    Raises:
        ValueError: it has several lists of objects.
    """
    held = [value for value in whole.values() if _is_table(value)] if isinstance(whole, dict) else []
    if len(held) > 1:
        raise ValueError("several lists of rows in one file")
    return held[0] if held and whole.keys().isdisjoint(("question", "conversations", "messages", "image")) else [whole]


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _records(rows: Any) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is no record of columns")
        yield row


def _parsed(text: str, what: str) -> Any:
    """Return the value of a JSON text; numbers keep their text, NaN and infinity become None.

    Args:
        text: the JSON text.
        what: `the file` or `line 3`, for error messages.
    """
    try:
        return json.loads(text, parse_float=Written, parse_int=_whole, parse_constant=lambda name: None)
    except RecursionError:
        raise ValueError(f"{what} is nested too deep") from None
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None


def _whole(text: str) -> int | Written:
    return Written(text) if text == "-0" or len(text) > 300 else int(text)
