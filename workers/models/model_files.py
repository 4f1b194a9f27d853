"""Locates and reads the files of a model: the embedded one, a local folder, or a hub id. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spaces.names import nearest
from workers.sources import ModelSource

EMBEDDED = Path(__file__).parents[1] / "embedded" / "checkpoint"
"""Folder of the embedded model, which is part of the package."""


def locate(source: ModelSource, file: str) -> Path | None:
    """Return the path of one file of a model, fetched from the hub if needed; None if the model has no such file.

    Raises:
        ValueError: the model itself is not found.
    """
    folder = _folder(source)
    if folder.is_dir():
        return folder / file if (folder / file).is_file() else None
    if source.name == "embedded":
        raise ValueError(f"the embedded model must be in {folder}, which is missing: install the package again")
    if hint := nearest(source.name, ["embedded"]):  # probably a typing error: do not wait for the hub
        raise _not_found(source, f"there is no such folder{hint}")
    return _fetch(source, file)


def _fetch(source: ModelSource, file: str) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(source.name, file, revision=source.revision))
    except LocalEntryNotFoundError as error:
        if file != "config.json":
            return None  # offline, and the cached model has no such file
        raise _not_found(source, "the hub can't be reached and no copy is cached") from error
    except EntryNotFoundError:
        return None
    except Exception as error:  # the hub client has no common base for bad names, missing repos and bad networks
        raise _not_found(source, str(error).strip().splitlines()[0]) from error


def _not_found(source: ModelSource, why: str) -> ValueError:
    return ValueError(
        f"a model must be 'embedded', a folder with config.json, or a hub id that can be reached, got {source.name!r} "
        f"({why}): check the name, or download the model and give its folder"
    )


def read_config(source: ModelSource) -> dict[str, Any]:
    """Return the content of the model's `config.json`.

    Raises:
        ValueError: it is missing or not a JSON object.
    """
    path = locate(source, "config.json")
    if path is None:
        raise ValueError(
            f"a model must have a config.json, got {source.name!r} without one: "
            "give the folder that save_pretrained wrote, or a hub id"
        )
    return read_json(path)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        ValueError: the file holds anything else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} must be JSON, got something else ({error}): save the model again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}: save the model again")
    return content


def weight_files(source: ModelSource) -> Iterator[Path]:
    """Yield the safetensors files of a model in a local folder; none for a hub id."""
    folder = _folder(source)
    yield from sorted(folder.glob("*.safetensors")) if folder.is_dir() else ()


def checkpoint(source: ModelSource) -> str:
    """Return the folder or hub id to pass to `from_pretrained`."""
    folder = _folder(source)
    return str(folder) if folder.is_dir() else source.name


def _folder(source: ModelSource) -> Path:
    if source.name != "embedded":
        return Path(source.name).expanduser()
    return EMBEDDED
