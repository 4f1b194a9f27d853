"""Reads the samples of a table row by row: each row is one question about one or several images.

Splits are found by name. A missing split is carved out of the training rows by image, so that no image is in two
splits. Rows are read in order, up to the limits of the settings.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from spaces.names import shortened, shown
from workers.data.answers import is_blank, text_of
from workers.data.columns import JOINED, Columns, cell, find_columns, image_column
from workers.data.conversations import TAKEN, conversation_column, questions_of
from workers.data.image_files import Unreadable
from workers.data.images import decoded
from workers.data.open_tables import image_files, open_tables, undecoded
from workers.data.options import Reading, find_reading
from workers.data.sample import DataTask, Sample, SplitData
from workers.data.splits import CARVED, part_of, places_of
from workers.data.typed_values import with_typed_values
from workers.sources import DataSource, Split

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

ROWS_FOR_READING = 20_000
"""Number of rows per table from which the encoding of the right option is determined; later rows are checked."""


def read_split(source: DataSource, split: Split) -> SplitData:
    """Return the samples of a split.

    Args:
        source: the settings of the data set.
        split: name of the split.

    Raises:
        ValueError: the data set can't be read, lacks columns or splits, or has too many unreadable images.
    """
    tables = open_tables(source.name, source.config, source.revision, source.streaming)
    places = places_of(source, list(tables))
    rows = _Rows(source, tables[places.get(split, places["train"])])
    columns = rows.columns
    if columns.task is DataTask.CHOICES:
        reading = source.answer_as or _reading(source, tuple(dict.fromkeys(places.values())))
        columns = Columns(**{**vars(columns), "reading": reading})
    carved = {} if split != "train" and split in places else {o: s for o, s in CARVED.items() if o not in places}
    reader = _Reader(source, split, columns)
    reader.read(rows, carved)
    return replace(reader.result(), unused=rows.unused)


class _Rows:
    """The rows of a table with the needed columns only; conversations are converted to questions."""

    def __init__(self, source: DataSource, table: Any) -> None:
        features = dict(table.features or dict.fromkeys(next(iter(table), {})))
        self.each = source.turns == "each"
        self.conversation = None if source.question_column or "question" in features else conversation_column(features)
        self.image = image_column(features) or "image"
        if self.conversation is not None:
            features = {**dict.fromkeys((self.image, *TAKEN[:2])), **features}
        self.columns = find_columns(source, features)
        self.table = table
        self.kept = sorted({*self.columns.used, *([self.conversation] if self.conversation else [])} & {*_names(table)})

    @property
    def unused(self) -> tuple[str, ...]:
        """Return the columns of the table that nothing is read from."""
        return tuple(name for name in _names(self.table) if name not in self.kept)

    def only(self, names: Iterable[str]) -> Iterable[Mapping[str, Any]]:
        """Return the rows with only these of the needed columns, and that of the conversation."""
        return self._rows([name for name in self.kept if name in names or name == self.conversation])

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return self._rows(self.kept)

    def _rows(self, names: list[str]) -> Iterator[Mapping[str, Any]]:
        table = undecoded(self.table.select_columns(names))
        for number, row in enumerate(with_typed_values(table, table.features)):
            if self.conversation is None:
                yield row
                continue
            try:
                yield from questions_of(row, self.conversation, self.image, self.each)
            except ValueError as error:
                raise ValueError(f"{error}, in row {number}") from None


def _names(table: Any) -> list[str]:
    return list(table.features or next(iter(table), {}))


@lru_cache(maxsize=8)
def _reading(source: DataSource, places: tuple[str, ...]) -> Reading:
    """Return the encoding of the right option, determined from the answers of all tables in use."""
    tables = open_tables(source.name, source.config, source.revision, source.streaming)
    most = max(source.most_rows(split) or 0 for split in ("train", "search")) if source.streaming else ROWS_FOR_READING

    def pairs() -> Iterator[tuple[Any, list[Any]]]:
        for place in places:
            rows = _Rows(source, tables[place])
            columns = rows.columns
            if columns.task is not DataTask.CHOICES:
                continue
            for row in islice(rows.only(columns.used), most):
                try:
                    yield columns.right(row), columns.options(row)
                except ValueError:
                    continue  # the error is raised, with the number of the row, when the row is read

    first = _Rows(source, tables[places[0]]).columns
    return find_reading(pairs(), first.names["answers"])


class _Reader:
    """Converts rows to samples, up to the limit, and counts those without a readable image."""

    def __init__(self, source: DataSource, split: Split, columns: Columns) -> None:
        self.source, self.split, self.columns = source, split, columns
        self.files = image_files(source)
        self.samples: list[Sample] = []
        self.skipped: list[str] = []
        self._images: dict[str, Image] = {}

    def read(self, rows: Iterable[Mapping[str, Any]], carved: Mapping[Split, int]) -> None:
        """Read the rows that belong to the split, up to the limit.

        Args:
            rows: rows of the table.
            carved: split -> percent of the images, for splits carved out of this table; if empty, all rows belong to
                the split.
        """
        limit = self.source.most_rows(self.split)
        for number, row in enumerate(rows):
            try:
                files = self._files(row)
                if carved and part_of(self._group(row, files), carved) != self.split:
                    continue
                self.samples.append(self._sample(row, files))
            except Unreadable as error:
                self.skipped.append(str(error))
            except ValueError as error:
                raise ValueError(f"{error}, in {self._where(number, row)}") from None
            if len(self.samples) + len(self.skipped) == limit:
                return

    def _files(self, row: Mapping[str, Any]) -> list[bytes] | Unreadable:
        """Return the image files of a row, or the reason why there are none.

        The reason is returned, not raised, because unreadable rows are assigned to splits as well.
        """
        try:
            cells = self.columns.images(row)
            if not cells:
                raise Unreadable("no image")
            marked = row.get(TAKEN[2])
            if marked and marked != len(cells):
                raise ValueError(f"a text must name as many images as the row has, {len(cells)}, got {marked}")
            return [self.files.read(each) for each in cells]
        except Unreadable as error:
            return error

    def _group(self, row: Mapping[str, Any], files: list[bytes] | Unreadable) -> str:
        """Return the image id of a row, or a hash of its image files; rows that share it go to the same split."""
        given = cell(row, self.columns.names["image_id"]) if "image_id" in self.columns.names else None
        if not is_blank(given):
            return text_of(given)
        if isinstance(files, Unreadable):
            return _digest(repr([row.get(name) for name in self.columns.names["image"].split(JOINED)]).encode())
        return _id(files)

    def _sample(self, row: Mapping[str, Any], files: list[bytes] | Unreadable) -> Sample:
        if isinstance(files, Unreadable):
            raise files
        columns = self.columns
        first, *others = [self._image(file) for file in files]
        choices = columns.choices(row)
        answers = columns.answers(row, choices)
        if not answers:
            raise ValueError(
                f"every row must have an answer, got none: name a split that has them (--{self.split}-split), or "
                "another --answer-column"
            )
        return Sample(
            image=first,
            image_id=_id(files),
            question=columns.question(row, choices),
            answers=answers,
            kind=columns.kind(row),
            choices=columns.candidates(choices) if choices else (),
            more_images=tuple(others),
        )

    def _image(self, file: bytes) -> Image:
        """Return the decoded image of a file; cached."""
        name = _digest(file)
        if name not in self._images:
            self._images[name] = decoded(file)
        return self._images[name]

    def _where(self, number: int, row: Mapping[str, Any]) -> str:
        text = cell(row, self.columns.names["question"]) if "question" in self.columns.names else None
        question = f", {shown(text)}" if isinstance(text, str) else ""
        return f"row {number} of {self.split!r} of {shortened(self.source.name)!r}{question}"

    def result(self) -> SplitData:
        """Return the samples read.

        Raises:
            ValueError: there are none, or too many rows have no readable image.
        """
        skipped, rows = len(self.skipped), len(self.samples) + len(self.skipped)
        if not rows:
            raise ValueError(
                f"the split {self.split!r} must have at least one image, got none of {self.source.name!r}: "
                "use more images"
            )
        if skipped:
            count = f"{skipped} of {rows} rows of {self.split!r} of {self.source.name!r} have no readable image"
            first = f"the first: {self.skipped[0]}"
            if skipped > self.source.max_unreadable * rows:
                raise ValueError(
                    f"at most {self.source.max_unreadable:.3g} of a split's images may be unreadable, {count} "
                    f"({first}): repair them, or allow more with --max-unreadable"
                )
            log.warning("%s and are left out (%s)", count, first)
        return SplitData(tuple(self.samples), self.columns.task, self.columns.names, skipped)


def _id(files: list[bytes]) -> str:
    """Return an id of the images of a row: the hash of its only file, or a hash of the hashes of its files."""
    digests = [_digest(file) for file in files]
    return digests[0] if len(digests) == 1 else _digest(" ".join(digests).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
