"""Lists the contents of a data set that is one zip file: its tables and the folder that contains all files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from spaces.names import shortened

HIDDEN = ("__MACOSX", ".")
"""Beginnings of the names of files that archivers add."""


def members_of(archive: Path) -> list[str]:
    """Return the names of the files in a zip file, without hidden ones.

    Raises:
        ValueError: the file is no zip file; one line.
    """
    try:
        with ZipFile(archive) as opened:
            names = [name for name in opened.namelist() if not name.endswith("/")]
    except (OSError, BadZipFile) as error:
        raise ValueError(f"a zip must be one, {shortened(archive.name)} is not ({type(error).__name__})") from None
    return [name for name in names if not any(part.startswith(HIDDEN) for part in PurePosixPath(name).parts)]


def root_of(names: Sequence[str]) -> str:
    """Return the folder, with a slash, that contains all files of a zip; an empty text if there is none."""
    tops = {PurePosixPath(name).parts[0] for name in names if "/" in name}
    return f"{tops.pop()}/" if len(tops) == 1 and all("/" in name for name in names) else ""


def tables_in(archive: Path, suffixes: Sequence[str]) -> dict[str, list[str]]:
    """Return split -> addresses, for fsspec, of the tables of a zip; a single table is the split `train`.

    Args:
        archive: the zip file.
        suffixes: suffixes of tables.

    Raises:
        ValueError: the zip file has no tables.
    """
    names = [name for name in members_of(archive) if PurePosixPath(name).suffix in suffixes]
    if not names:
        raise ValueError(f"a zip must hold a table ({', '.join(suffixes)}), {shortened(archive.name)} has none")
    splits: dict[str, list[str]] = {}
    for name in sorted(names):
        split = re.sub(r"-\d+-of-\d+$", "", PurePosixPath(name).stem) if len(names) > 1 else "train"
        splits.setdefault(split, []).append(f"zip://{name}::{archive}")
    return splits
