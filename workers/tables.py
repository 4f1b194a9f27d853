"""Data sets of the user's own: a hub id or a local folder that the `datasets` library reads.

A row is one question about one image. Columns are found by type (the image) and by usual names (the rest), splits by
name; a split that isn't there is carved out of the training rows by image, so that no image is in two splits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from workers.samples import Sample, Split

COLUMNS = {
    "question": ("question", "query", "prompt"),
    "answers": ("answers", "answer", "multiple_choice_answer", "label"),
    "kind": ("kind", "question_type", "answer_type", "type"),
    "image_id": ("image_id", "img_id"),
}
"""What a sample needs -> names of the column, the first that is there; kind and image_id may be missing."""
SPLITS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "tune": ("tune",),
    "search": ("search", "validation", "val", "dev"),
    "test": ("test",),
}
"""Our splits -> names of theirs, the first that is there."""
CARVED: dict[Split, int] = {"tune": 10, "search": 20, "test": 20}
"""Percent of the training images that become a split which isn't there."""


def table_samples(name: str, split: Split, limit: int | None = None) -> list[Sample]:
    """The first `limit` samples of a split.

    Raises ValueError where the data set can't be read or has no images, questions, answers or training rows.
    """
    table, columns = _split(name, split)
    rows = table if limit is None else table.select(range(min(limit, len(table))))
    return [_sample(name, row, columns) for row in rows]


@lru_cache(maxsize=16)
def _split(name: str, split: Split) -> tuple[Any, dict[str, str]]:
    """The rows of a split, and which column holds what."""
    tables = _open(name)
    own = {ours: next((n for n in names if n in tables), None) for ours, names in SPLITS.items()}
    if len(tables) == 1:
        own = {"train": next(iter(tables))}
    elif own["train"] is None:
        raise ValueError(f"a data set must have a train split, got {name!r} with {', '.join(tables)}: rename one")
    found = own.get(split)
    table = tables[found or own["train"]]
    columns = _columns(name, table)
    if split != "train" and found is not None:
        return table, columns
    missing = {ours: share for ours, share in CARVED.items() if own.get(ours) is None}
    rows = [i for i, image in enumerate(_image_ids(table, columns)) if _place(image, missing) == split]
    if not rows:
        raise ValueError(f"the split {split!r} must have at least one image, got none of {name!r}: use more images")
    return table.select(rows), columns


def _place(image_id: str, missing: Mapping[Split, int]) -> Split:
    """Where an image of the training rows goes; the same for ever, whatever else is in the data set."""
    number = int(hashlib.sha256(image_id.encode()).hexdigest(), 16) % 100
    for split, share in missing.items():
        if number < share:
            return split
        number -= share
    return "train"


def _open(name: str) -> dict[str, Any]:
    """The tables by their own split names, images undecoded."""
    import datasets

    folder = Path(name).expanduser()
    try:
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            found = datasets.load_from_disk(str(folder))
        else:
            found = datasets.load_dataset(str(folder) if folder.is_dir() else name)
    except Exception as error:  # the library has no common base for bad names, bad files and bad networks
        why = " ".join(str(error).split())[:200]
        raise ValueError(
            f"a data set must be 'embedded', a folder, or a hub id that can be reached, got {name!r} ({why}): "
            "check the name, or save the data set into a folder"
        ) from error
    tables = dict(found) if isinstance(found, Mapping) else {"train": found}
    return {split: _undecoded(name, table) for split, table in tables.items()}


def _undecoded(name: str, table: Any) -> Any:
    """Images as bytes: most of what is done with a table needs no pixels."""
    from datasets import Image

    return table.cast_column(_image_column(name, table), Image(decode=False))


def _image_column(name: str, table: Any) -> str:
    for column, feature in table.features.items():
        if type(feature).__name__ == "Image":
            return column
    raise ValueError(
        f"a data set must have a column of images, got {name!r} with {', '.join(table.features)}: "
        "add one of type datasets.Image"
    )


def _columns(name: str, table: Any) -> dict[str, str]:
    found = {"image": _image_column(name, table)}
    for meaning, names in COLUMNS.items():
        column = next((each for each in names if each in table.features), None)
        if column is not None:
            found[meaning] = column
        elif meaning in ("question", "answers"):
            raise ValueError(
                f"a data set must have a column of {meaning} ({', '.join(names)}), "
                f"got {name!r} with {', '.join(table.features)}: rename one"
            )
    return found


def _image_ids(table: Any, columns: Mapping[str, str]) -> Sequence[str]:
    """The id of every row's image: its own, or a hash of its bytes."""
    if "image_id" in columns:
        return [str(value) for value in table[columns["image_id"]]]
    return [_hash(image) for image in table[columns["image"]]]


def _hash(image: Mapping[str, Any]) -> str:
    return hashlib.sha256(_bytes(image)).hexdigest()[:16]


def _bytes(image: Mapping[str, Any]) -> bytes:
    return image["bytes"] or Path(image["path"]).read_bytes()


def _sample(name: str, row: Mapping[str, Any], columns: Mapping[str, str]) -> Sample:
    from PIL import Image

    image, answers = row[columns["image"]], _answers(row[columns["answers"]])
    if not answers:
        raise ValueError(f"every question must have an answer, got none in {name!r} for {row[columns['question']]!r}")
    return Sample(
        image=Image.open(BytesIO(_bytes(image))).convert("RGB"),
        image_id=str(row[columns["image_id"]]) if "image_id" in columns else _hash(image),
        question=str(row[columns["question"]]),
        answers=answers,
        kind=str(row[columns["kind"]]) if "kind" in columns else "all",
    )


def _answers(value: Any) -> tuple[str, ...]:
    """A text, a number, a list of either, or VQA's list of {'answer': text}; the most frequent first."""
    if value is None:
        return ()
    values = value if isinstance(value, list) else [value]
    texts = [str(each["answer"] if isinstance(each, Mapping) else each) for each in values]
    return tuple(sorted(texts, key=lambda text: -texts.count(text)))
