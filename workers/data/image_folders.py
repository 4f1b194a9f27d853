"""Opens image folders of `datasets`: images with a file `metadata.jsonl` or `metadata.csv`, whose rows name them.

The library would infer types of these files (0042 becomes 42), so they are read by `workers.data.text_tables`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath

from workers.data.splits import SPLITS
from workers.data.text_tables import TextTable, top_folder

METADATA = "metadata"
"""Name, without suffix, of the files that describe the images of a folder."""
SUFFIXES = (".jsonl", ".csv")
"""Suffixes of these files, if they are text."""
SPLIT_FOLDERS = frozenset(name for names in SPLITS.values() for name in names)
"""Usual names of folders and files that are splits."""


def tables_of_folder(folder: Path) -> dict[str, TextTable] | None:
    """Return the tables, by split, of a local image folder; None for other folders.

    The file stands in the folder itself, or there is one for every split. A file in the folder itself is the split
    `train`, unless all of its images are in folders that are named as splits.

    Raises:
        ValueError: several files describe one folder.
    """
    files = [path for path in sorted(folder.rglob(f"{METADATA}.*")) if path.suffix in SUFFIXES]
    if not files:
        return None
    _check(map(str, files))
    if all(path.parent != folder for path in files):
        splits: dict[str, list[str]] = {}
        for path in files:
            splits.setdefault(_split_of(path.parent.relative_to(folder)), []).append(str(path))
        return {split: TextTable(tuple(paths), metadata=True, base=str(folder)) for split, paths in splits.items()}
    if len(files) > 1:
        raise ValueError("an image folder must have one metadata file, or one for every split, got both")
    whole = TextTable((str(files[0]),), metadata=True, base=str(folder))
    tops = sorted({top for row in whole if (top := top_folder(row)) is not None})
    if not tops or not SPLIT_FOLDERS.issuperset(tops):
        return {"train": whole}
    return {top: TextTable(whole.files, metadata=True, base=whole.base, within=top) for top in tops}


def tables_of_builder(files: Mapping[str, list[str]], base: str) -> dict[str, TextTable] | None:
    """Return the tables of an image folder whose files a builder of `datasets` assigned to splits.

    Args:
        files: split -> paths or addresses of its images and metadata files.
        base: folder or address of the data set.

    Returns:
        split -> table; None if no file of text describes the images.

    Raises:
        ValueError: several files describe one folder.
    """
    described: dict[str, TextTable] = {}
    for split, paths in files.items():
        found = tuple(path for path in paths if _is_metadata(PurePosixPath(path)))
        _check(found)
        if found:
            described[split] = TextTable(found, metadata=True, base=base)
    return described or None


def tables_of_zip(addresses: Sequence[str]) -> dict[str, TextTable] | None:
    """Return the tables, by split, of a zip file that is an image folder; None for other zip files.

    Args:
        addresses: `zip://member::archive` of every table in the zip.

    Raises:
        ValueError: several files describe one folder.
    """
    members = {each: PurePosixPath(each.partition("::")[0].removeprefix("zip://")) for each in addresses}
    if not all(_is_metadata(member) for member in members.values()):
        return None
    _check(map(str, members.values()))
    splits: dict[str, list[str]] = {}
    for address, member in members.items():
        splits.setdefault(_split_of(member.parent) if len(members) > 1 else "train", []).append(address)
    return {split: TextTable(tuple(found), metadata=True, base="zip:") for split, found in splits.items()}


def _is_metadata(path: PurePosixPath) -> bool:
    return path.stem == METADATA and path.suffix in SUFFIXES


def _check(files: Iterable[str]) -> None:
    folders: set[str] = set()
    for file in files:
        folder = posixpath.dirname(file)
        if folder in folders:
            raise ValueError(f"a folder of images must have one metadata file, got several in {folder!r}")
        folders.add(folder)


def split_in(path: PurePath) -> str | None:
    """Return the first part of a path, without suffix, that is the usual name of a split; None if there is none."""
    parts = (*path.parent.parts, re.sub(r"-\d+-of-\d+$", "", path.stem))
    return next((part for part in parts if part in SPLIT_FOLDERS), None)


def _split_of(folder: PurePath) -> str:
    """Return the first part of a path that is the usual name of a split, else its last part."""
    return split_in(folder) or folder.name
