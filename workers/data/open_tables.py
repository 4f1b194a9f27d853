"""Opens a data set (file, folder or hub id) as one table per split.

Text files are read by `workers.data.text_tables`, all others by the `datasets` library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from spaces.names import shown
from workers.data.columns import holds_images
from workers.data.image_files import ImageFiles
from workers.data.image_folders import METADATA, split_in, tables_of_builder, tables_of_folder, tables_of_zip
from workers.data.text_tables import SUFFIXES, TextTable
from workers.data.zipped import tables_in
from workers.sources import DataSource

LIBRARY = {".parquet": "parquet"}
"""Suffix of a file -> module of the `datasets` library that reads it."""
TABLES = (*SUFFIXES, *LIBRARY)
"""Suffixes of all files that are tables."""
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
"""Suffixes of image files."""
READ_HERE = ("json", "csv")
"""Modules of the `datasets` library whose files `workers.data.text_tables` reads instead."""


def is_local(name: str) -> bool:
    """Return True if a name is an existing file or folder."""
    try:
        place = Path(name).expanduser()
        return place.is_dir() or place.is_file()
    except (OSError, RuntimeError, ValueError):
        return False


def image_files(source: DataSource) -> ImageFiles:
    """Return the reader of the image files of a data set."""
    place = Path(source.name).expanduser()
    if is_local(source.name):
        if place.suffix == ".zip" and place.is_file():
            return ImageFiles(None, [], archive=place, anywhere=source.allow_outside)
        folder = place if place.is_dir() else place.parent
        tables = _below(folder) if place.is_dir() and not _at_top(folder) else []
        below = sorted({table.parent for table in tables})
        return ImageFiles(folder, [folder], beside=below, anywhere=source.allow_outside)
    import datasets

    caches = [Path(datasets.config.HF_DATASETS_CACHE), Path(datasets.config.HF_CACHE_HOME) / "hub"]
    hub = f"hf://datasets/{source.name}" + (f"@{source.revision}" if source.revision else "")
    return ImageFiles(None, caches, hub, anywhere=source.allow_outside)


@lru_cache(maxsize=4)
def open_tables(name: str, config: str | None, revision: str | None, streaming: bool) -> dict[str, Any]:
    """Return the tables of a data set by the names of its splits.

    Args:
        name: file, folder or hub id.
        config: configuration of the data set; None for its default.
        revision: branch, tag or commit on the hub; None for the default branch.
        streaming: if True, rows are read when they are used, instead of being downloaded and converted first.

    Raises:
        ValueError: the data set can't be found or opened; one line.
    """
    try:
        found = _found(name, config, revision, streaming)
    except Exception as error:  # the library has no common exception for bad names, bad files and network errors
        why = " ".join(str(error).split())[:200]
        raise ValueError(
            f"a data set must be 'embedded', a file, a folder, or a hub id that can be reached, got {shown(name)} "
            f"({why}): check the name, or save the data set into a folder"
        ) from error
    return dict(found) if isinstance(found, Mapping) else {"train": found}


def _found(name: str, config: str | None, revision: str | None, streaming: bool) -> Any:
    import datasets

    if not is_local(name):
        return _built(datasets.load_dataset_builder(name, config, revision=revision), streaming)
    place = Path(name).expanduser()
    if place.is_file():
        return _one_file(place, streaming)
    if (place / "dataset_dict.json").is_file() or (place / "state.json").is_file():
        return datasets.load_from_disk(str(place))
    if _has_file_list(place):
        return _built(datasets.load_dataset_builder(str(place), config), streaming)
    tables = _at_top(place)
    if not tables and (described := tables_of_folder(place)):
        return described
    files = _beside(place, tables or _named_as_splits(place))
    return _built(datasets.load_dataset_builder(str(place), config, data_files=files), streaming)


def _has_file_list(folder: Path) -> bool:
    """Return True if the card of a data set assigns files to its splits."""
    card = folder / "README.md"
    return card.is_file() and "data_files" in card.read_text("utf-8", "replace")


def _at_top(folder: Path) -> list[Path]:
    """Return the tables that lie in a folder itself."""
    return [path for path in sorted(folder.iterdir()) if path.suffix in TABLES and not _is_about_others(path)]


def _below(folder: Path) -> list[Path]:
    """Return the tables in a folder and in the folders below it."""
    return [path for path in sorted(folder.rglob("*")) if path.suffix in TABLES and not _is_about_others(path)]


def _named_as_splits(folder: Path) -> list[Path]:
    """Return the tables in folders below, if each of them has the usual name of a split in its path; else none."""
    files = _below(folder)
    return files if all(split_in(path.relative_to(folder)) for path in files) else []


def _built(builder: Any, streaming: bool) -> Any:
    """Return the tables of a builder of the `datasets` library; text files are read by `TextTable`."""
    texts = _texts(builder)
    if texts:
        return texts
    if streaming:
        return builder.as_streaming_dataset()
    builder.download_and_prepare()
    return builder.as_dataset()


def _texts(builder: Any) -> dict[str, TextTable] | None:
    """Return the tables of a data set of JSON or CSV files, or of an image folder described by them; else None.

    None also if the card of the data set has reading options.
    """
    files = builder.config.data_files
    kind = type(builder).__module__.rpartition(".")[2]
    if kind == "imagefolder" and files:
        return tables_of_builder({str(split): [*map(str, paths)] for split, paths in files.items()}, builder.base_path)
    if kind not in READ_HERE or not files or getattr(builder.config, "field", None) is not None:
        return None
    return {str(split): TextTable(tuple(map(str, paths))) for split, paths in files.items()}


def _one_file(place: Path, streaming: bool) -> dict[str, Any]:
    import datasets

    if place.suffix not in (*TABLES, ".zip"):
        raise ValueError(f"a file must be one of {', '.join(TABLES)}, .zip; unpack another archive into a folder")
    files = tables_in(place, TABLES) if place.suffix == ".zip" else {"train": [str(place)]}
    if place.suffix == ".zip" and (described := tables_of_zip([each for paths in files.values() for each in paths])):
        return dict(described)
    modules = {_library(path) for paths in files.values() for path in paths}
    if len(modules) > 1:
        raise ValueError("the tables of a zip must be all parquet or all text")
    module = modules.pop()
    if module is None:
        return {split: TextTable(tuple(paths)) for split, paths in files.items()}
    return dict(datasets.load_dataset(module, data_files=files, streaming=streaming))


def _library(path: str) -> str | None:
    """Return the module of the `datasets` library that reads a file or a member of a zip; None for text."""
    name = path.partition("::")[0]
    return next((module for suffix, module in LIBRARY.items() if suffix in name), None)


def _beside(folder: Path, files: list[Path]) -> dict[str, list[str]] | None:
    """Return the names of the tables, by split, of a folder with tables and images; None for all other folders.

    The `datasets` library would read such a folder as images without questions.

    Args:
        folder: the folder.
        files: the tables.

    Raises:
        ValueError: the files of a split have several suffixes.
    """
    if not files or not any(path.suffix.lower() in (*IMAGES, ".zip") for path in folder.rglob("*")):
        return None
    splits: dict[str, list[str]] = {}
    for path in files:
        inside = path.relative_to(folder)
        split = split_in(inside) or re.sub(r"-\d+-of-\d+$", "", path.stem) if len(files) > 1 else "train"
        splits.setdefault(split, []).append(inside.as_posix())
    for split, names in splits.items():
        suffixes = {Path(name).suffix for name in names}
        if len(suffixes) > 1:
            raise ValueError(f"the files of a split must have one suffix, got {', '.join(names)} for {split!r}")
    return splits


def _is_about_others(path: Path) -> bool:
    """Return True if a file describes images or the data set instead of containing its rows."""
    return path.stem == METADATA or path.stem.startswith("dataset_info")


def undecoded(table: Any) -> Any:
    """Return the table with images as bytes or paths, not decoded, so that the reader can skip unreadable ones."""
    if isinstance(table, TextTable):
        return table
    from datasets import Image, List

    for name, feature in (table.features or {}).items():
        if holds_images(feature):
            plain = Image(decode=False)
            table = table.cast_column(name, List(plain) if hasattr(feature, "feature") else plain)
    return table
