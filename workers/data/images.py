"""The image of a row: found, read and decoded, or said why not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image


class Unreadable(ValueError):
    """A row has no image that can be read; the message says why."""


def encoded(cell: Any, folder: Path | None) -> bytes:
    """The bytes of an image file: given as such, as `{bytes, path}`, as a path, or as a list of one of these.

    Paths are relative to the data set's folder; those with a protocol (`hf://`, `zip://`) are opened by fsspec.
    Raises Unreadable where there is no image or no such file, ValueError where there are several images.
    """
    if isinstance(cell, list):
        if len(cell) > 1:
            raise ValueError(f"every row must have one image, got {len(cell)} in one: give another --image-column")
        cell = cell[0] if cell else None
    if isinstance(cell, Mapping):
        cell = cell.get("bytes") or cell.get("path")
    if not cell:
        raise Unreadable("no image")
    return cell if isinstance(cell, bytes) else _file(str(cell), folder)


def _file(path: str, folder: Path | None) -> bytes:
    import fsspec

    place = path if folder is None or "://" in path else str(folder / path)
    try:
        with fsspec.open(place, "rb") as file:
            return file.read()
    except Exception as error:  # every file system behind fsspec has errors of its own
        raise Unreadable(f"{path} can't be opened ({type(error).__name__})") from None


def decoded(data: bytes) -> Image:
    """The upright RGB image in the bytes of a file. Raises Unreadable."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        return ImageOps.exif_transpose(Image.open(BytesIO(data))).convert("RGB")
    except UnidentifiedImageError:
        raise Unreadable("not an image file") from None
    except Exception as error:  # Pillow's readers raise whatever a broken file makes them stumble over
        raise Unreadable(f"{type(error).__name__}: {' '.join(str(error).split())[:80]}") from None


def digest(cell: Any, folder: Path | None) -> str:
    """An id of the image: a hash of its file, or of what stands in its place where there is no file."""
    try:
        content = encoded(cell, folder)
    except Unreadable:
        content = repr(cell).encode()
    return hashlib.sha256(content).hexdigest()[:16]
