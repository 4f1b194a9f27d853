"""Data sets of the user's own: a hub id or a local folder that the `datasets` library reads.

A row is one question about one image. Splits are found by name; a split that isn't there is carved out of the
training rows by image, so that no image is in two splits. Rows are read in order, and no more than asked for.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spaces.names import unknown
from workers.data.columns import Columns, find_columns, holds_images
from workers.data.images import Unreadable, decoded, digest, encoded
from workers.data.sample import Sample, SplitData
from workers.requests import DataSource, Split

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

SPLITS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "tune": ("tune",),
    "search": ("search", "validation", "val", "dev"),
    "test": ("test",),
}
"""Our splits -> names of theirs, the first that is there."""
CARVED: dict[Split, int] = {"tune": 10, "search": 20, "test": 20}
"""Percent of the training images that become a split which isn't there."""
TABLES = (".jsonl", ".json", ".csv", ".parquet")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def read_split(source: DataSource, split: Split) -> SplitData:
    """The samples of a split. Raises ValueError where the data set can't be read or lacks what a sample needs."""
    tables = _open(source.name, source.config, source.revision, source.streaming)
    places = _places(source, list(tables))
    table = tables[places.get(split, places["train"])]
    features = table.features or dict.fromkeys(next(iter(table), {}))
    columns = find_columns(source, features)
    table = _undecoded(table.select_columns(sorted(set(columns.names.values()))))
    carved = {} if split != "train" and split in places else {o: s for o, s in CARVED.items() if o not in places}
    reader = _Reader(source, split, columns)
    reader.read(table, carved)
    return reader.result()


class _Reader:
    """Reads rows one after another up to the limit; counts those whose image can't be read."""

    def __init__(self, source: DataSource, split: Split, columns: Columns) -> None:
        self.source, self.split, self.columns = source, split, columns
        folder = Path(source.name).expanduser()
        self.folder = folder if folder.is_dir() else None
        self.samples: list[Sample] = []
        self.skipped: list[str] = []
        self._images: dict[str, Image] = {}

    def read(self, rows: Iterable[Mapping[str, Any]], carved: Mapping[Split, int]) -> None:
        """Reads the rows of the split, of all rows where nothing is carved out of them, up to the limit."""
        limit = self.source.limit(self.split)
        for row in rows:
            image_id = self._image_id(row)
            if carved and _part(image_id, carved) != self.split:
                continue
            try:
                self.samples.append(self._sample(row, image_id))
            except Unreadable as error:
                self.skipped.append(str(error))
            if len(self.samples) + len(self.skipped) == limit:
                return

    def _image_id(self, row: Mapping[str, Any]) -> str:
        """The id of the row's image: its own, or a hash of its file."""
        names = self.columns.names
        return str(row[names["image_id"]]) if "image_id" in names else digest(row[names["image"]], self.folder)

    def _sample(self, row: Mapping[str, Any], image_id: str) -> Sample:
        columns = self.columns
        if image_id not in self._images:
            self._images[image_id] = decoded(encoded(row[columns.names["image"]], self.folder))
        try:
            choices = columns.choices(row)
            answers = columns.answers(row, choices)
        except ValueError as error:
            raise ValueError(f"{error}, in {self._where(row)}") from None
        if not answers:
            raise ValueError(
                f"every row must have an answer, got none in {self._where(row)}: take a split that has them "
                f"(--{self.split}-split), or another --answer-column"
            )
        return Sample(
            image=self._images[image_id],
            image_id=image_id,
            question=columns.question(row, choices),
            answers=answers,
            kind=str(row[columns.names["kind"]]) if "kind" in columns.names else "all",
            choices=columns.candidates(choices) if choices else (),
        )

    def _where(self, row: Mapping[str, Any]) -> str:
        asked = f", {row[self.columns.names['question']]!r}" if "question" in self.columns.names else ""
        return f"row {len(self.samples) + len(self.skipped)} of {self.split!r} of {self.source.name!r}{asked}"

    def result(self) -> SplitData:
        """What was read. Raises ValueError where it is nothing, or too many images were unreadable."""
        skipped, rows = len(self.skipped), len(self.samples) + len(self.skipped)
        if not rows:
            raise ValueError(
                f"the split {self.split!r} must have at least one image, got none of {self.source.name!r}: "
                "use more images"
            )
        if skipped:
            told = f"{skipped} of {rows} rows of {self.split!r} of {self.source.name!r} have no readable image"
            first = f"the first: {self.skipped[0]}"
            if skipped > self.source.max_unreadable * rows:
                raise ValueError(
                    f"at most {self.source.max_unreadable:.3g} of a split's images may be unreadable, {told} "
                    f"({first}): mend them, or allow more with --max-unreadable"
                )
            log.warning("%s and are left out (%s)", told, first)
        return SplitData(tuple(self.samples), self.columns.task, self.columns.names, skipped)


def _part(image_id: str, carved: Mapping[Split, int]) -> Split:
    """Where an image of the training rows goes; the same for ever, whatever else is in the data set."""
    number = int(hashlib.sha256(image_id.encode()).hexdigest(), 16) % 100
    for split, share in carved.items():
        if number < share:
            return split
        number -= share
    return "train"


def _places(source: DataSource, theirs: Sequence[str]) -> dict[Split, str]:
    """Our splits -> theirs: as told, else by usual names; those missing are to be carved out of `train`."""
    told = {ours: name for ours in SPLITS if (name := getattr(source, f"{ours}_split")) is not None}
    for ours, name in told.items():
        if name not in theirs:
            raise unknown(f"split of {source.name!r}", name, theirs, f"set --{ours}-split")
    if len(set(told.values())) < len(told):
        raise ValueError(
            f"every split must be another one, got {', '.join(told.values())}: name each once, what you leave out "
            "is taken from the training images"
        )
    if not told and len(theirs) == 1:
        return {"train": theirs[0]}
    free = [name for name in theirs if name not in told.values()]
    guessed = {ours: next((name for name in names if name in free), None) for ours, names in SPLITS.items()}
    places = {ours: name for ours, name in {**guessed, **told}.items() if name is not None}
    if "train" not in places:
        raise ValueError(
            f"a data set must have a train split, got {source.name!r} with {', '.join(theirs)}: "
            "name one by --train-split"
        )
    return places


@lru_cache(maxsize=4)
def _open(name: str, config: str | None, revision: str | None, streaming: bool) -> dict[str, Any]:
    """The tables by their own split names."""
    import datasets

    folder = Path(name).expanduser()
    try:
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            found = datasets.load_from_disk(str(folder))
        elif folder.is_dir():
            found = datasets.load_dataset(str(folder), config, data_files=_tables_beside(folder), streaming=streaming)
        else:
            found = datasets.load_dataset(name, config, revision=revision, streaming=streaming)
    except Exception as error:  # the library has no common base for bad names, bad files and bad networks
        why = " ".join(str(error).split())[:200]
        raise ValueError(
            f"a data set must be 'embedded', a folder, or a hub id that can be reached, got {name!r} ({why}): "
            "check the name, or save the data set into a folder"
        ) from error
    return dict(found) if isinstance(found, Mapping) else {"train": found}


def _tables_beside(folder: Path) -> dict[str, list[str]] | None:
    """Tables that lie beside images, one a split, named after it; None where the library finds its way.

    It would take such a folder for images without questions.
    """
    files = [path for path in sorted(folder.iterdir()) if path.suffix in TABLES and not _is_about_others(path)]
    if not files or not any(path.suffix.lower() in PICTURES for path in folder.rglob("*")):
        return None
    splits: dict[str, list[str]] = {}
    for path in files:
        split = re.sub(r"-\d+-of-\d+$", "", path.stem) if len(files) > 1 else "train"
        splits.setdefault(split, []).append(path.name)
    return splits


def _is_about_others(path: Path) -> bool:
    """Whether a file describes images (the library reads it itself) or the data set."""
    return path.stem == "metadata" or path.stem.startswith("dataset_info")


def _undecoded(table: Any) -> Any:
    """Images as bytes or paths: the reader decodes, and counts what can't be."""
    from datasets import Image, List

    for name, feature in (table.features or {}).items():
        if holds_images(feature):
            plain = Image(decode=False)
            table = table.cast_column(name, List(plain) if hasattr(feature, "feature") else plain)
    return table
