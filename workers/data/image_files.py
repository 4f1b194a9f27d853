"""Reads the bytes of images: from a path, a zip file beside the table, base64 text, or the table itself.

Paths are not trusted: they must stay in the folder of the data set, be regular files and not exceed a size.
"""

from __future__ import annotations

import binascii
import json
import posixpath
import stat
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from spaces.names import shortened, shown
from workers.data.zipped import members_of, root_of

MAX_BYTES = 512 * 2**20
"""Maximum size of an image file, in bytes."""
MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\x00", b"MM\x00*")
"""First bytes of image files; text in base64 that decodes to them is an image, any other text is a path."""
PAYLOADS = ("bytes", "path", "image", "url", "image_url", "base64", "data")
"""Keys of an image in a record, in order of preference."""


class Unreadable(ValueError):
    """A row has no readable image. The message is the reason."""


@dataclass
class ImageFiles:
    """Reads the image files of one data set."""

    folder: Path | None
    """Folder that relative paths are relative to; None for a data set of the hub."""
    roots: Sequence[Path]
    """Folders that paths must stay in."""
    hub: str | None = None
    """`hf://` address that relative paths of a hub data set are relative to."""
    archive: Path | None = None
    """Zip file that contains the whole data set, which paths must not leave."""
    beside: Sequence[Path] = ()
    """Folders of the tables, if they are below `folder`."""
    anywhere: bool = False
    """If True, paths outside of the roots and addresses of other machines are opened too."""
    _zips: dict[str, list[tuple[Path, str]]] | None = field(default=None, repr=False)

    def read(self, cell: Any) -> bytes:
        """Return the bytes of one image file.

        Args:
            cell: bytes, a path, an address, base64 text, or a record with one of these.

        Raises:
            Unreadable: there is no image, or it can't be opened.
            OutsideError: a path leads out of the data set.
        """
        cell = payload(cell)
        if cell is None or (isinstance(cell, str | bytes) and not cell):
            raise Unreadable("no image")
        if isinstance(cell, bytes):
            return cell
        if not isinstance(cell, str):
            raise Unreadable(f"not an image file but a {type(cell).__name__}")
        data = embedded(cell)
        return self._file(cell.strip()) if data is None else data

    def _file(self, path: str) -> bytes:
        if "://" in path:
            return self._address(path)
        if self.archive is not None:
            inside = posixpath.normpath(path)
            if inside.startswith(("/", "..")):
                raise OutsideError(path)
            return self._zipped(inside, "not in the zip")
        if self.folder is None and self.hub is not None and not Path(path).is_absolute():
            return self._address(f"{self.hub}/{path}")
        try:
            place = (self.folder or Path()) / path
            real = place.resolve()
            self._check_inside(path, real)
            mode = real.stat()
        except (OSError, RuntimeError) as error:
            return self._zipped(path, type(error).__name__)
        except ValueError as error:
            raise error if isinstance(error, OutsideError) else Unreadable("not a path") from None
        if not stat.S_ISREG(mode.st_mode):
            raise Unreadable(f"{shortened(path)} is no regular file")
        _check_size(path, mode.st_size)
        self._check_alone(path, real)
        try:
            return real.read_bytes()
        except OSError as error:
            raise Unreadable(f"{shortened(path)} can't be opened ({type(error).__name__})") from None

    def _check_inside(self, path: str, real: Path) -> None:
        if not self.anywhere and not any(real.is_relative_to(root.resolve()) for root in self.roots):
            raise OutsideError(path)

    def _check_alone(self, path: str, real: Path) -> None:
        """Raise Unreadable if a relative path also is that of another file beside a table in a sub-folder."""
        others = [] if Path(path).is_absolute() else [folder / path for folder in self.beside]
        if any(other.is_file() and not other.samefile(real) for other in others):
            raise Unreadable(f"{shortened(path)} is a file in the data set's folder and another one beside a table")

    def _address(self, path: str) -> bytes:
        """Return the bytes at an address, read with fsspec.

        Addresses of the hub are allowed for data sets of the hub; all others only with `anywhere`.
        """
        import fsspec

        ours = self.folder is None and self.archive is None and path.rpartition("::")[2].startswith("hf://")
        if not (ours or self.anywhere):
            raise OutsideError(path)
        try:
            with fsspec.open(path, "rb") as file:
                data = file.read(MAX_BYTES + 1)
        except Exception as error:  # fsspec's file systems have no common exception
            raise Unreadable(f"{shortened(path)} can't be opened ({type(error).__name__})") from None
        _check_size(path, len(data))
        return bytes(data)

    def _zipped(self, path: str, why: str) -> bytes:
        """Return the bytes of a path in a zip file of the folder, or in the zip file that is the data set.

        The first part of the path may be the name of the zip file without its suffix.

        Raises:
            Unreadable: no zip file or several have the path, or it can't be unzipped; the first case gives `why`.
        """
        found = self._members().get(path.removeprefix("./"), [])
        if not found:
            raise Unreadable(f"{shortened(path)} can't be opened ({why})")
        if len(found) > 1:
            raise Unreadable(f"{shortened(path)} is in several zip files ({found[0][0].name}, {found[1][0].name})")
        ((archive, member),) = found
        try:
            with ZipFile(archive) as opened:
                _check_size(path, opened.getinfo(member).file_size)
                return opened.read(member)
        except (OSError, BadZipFile, RuntimeError, NotImplementedError, binascii.Error) as error:
            raise Unreadable(f"{shortened(path)} can't be unzipped ({type(error).__name__})") from None

    def _members(self) -> dict[str, list[tuple[Path, str]]]:
        if self._zips is None:
            self._zips = {}
            beside = sorted(self.folder.glob("*.zip")) if self.folder is not None else ()
            for archive in beside if self.archive is None else [self.archive]:
                members = _listed(archive)
                top = "" if self.archive is None else root_of(members)
                for member in members:
                    for path in {member, f"{archive.stem}/{member}", member.removeprefix(top)}:
                        self._zips.setdefault(path, []).append((archive, member))
        return self._zips


class OutsideError(ValueError):
    """A path leads out of the data set."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"image paths must stay in the data set's folder, got {shown(path)}: move the files there, or trust the "
            "data set with --allow-outside"
        )


def payload(cell: Any) -> Any:
    """Return the image (bytes, path or address) in a cell, which may be a record such as `{bytes, path}` or `{url}`."""
    for _ in range(3):
        if not isinstance(cell, Mapping):
            break
        cell = next((cell[key] for key in PAYLOADS if cell.get(key)), None)
    return cell


def embedded(text: str) -> bytes | None:
    """Return the image in a `data:` address or in base64 text; None for any other text.

    Raises:
        Unreadable: a `data:` address is not valid base64.
    """
    if text[:5].casefold() == "data:":
        head, comma, body = text.partition(",")
        if not comma or not head.casefold().endswith(";base64"):
            raise Unreadable("a data: image must be in base64")
        try:
            return _decoded(body)
        except ValueError:
            raise Unreadable("the base64 of a data: image is broken") from None
    begins = "".join(text[:24].split())
    try:
        magic = b64decode(begins[: len(begins) // 4 * 4], validate=True)
        return _decoded(text) if len(text) > 64 and magic.startswith(MAGIC) else None
    except ValueError:
        return None  # a path


def _decoded(text: str) -> bytes:
    """Decode base64, with or without padding and white space. Raises ValueError if it is invalid."""
    text = "".join(text.split())
    return b64decode(text + "=" * (-len(text) % 4), validate=True)


def cells_of(value: Any) -> list[Any]:
    """Return the images of a cell, which may be a single image, a list, or a list as JSON text.

    Blank elements at the end of a list are dropped.

    Raises:
        Unreadable: the text is not a list, or a blank element is before an image.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Unreadable(f"not a list of images: {shown(value)}") from None
    cells = list(value) if isinstance(value, list | tuple) else [value]
    while cells and payload(cells[-1]) in (None, "", b""):
        cells.pop()
    if any(payload(cell) in (None, "", b"") for cell in cells):
        raise Unreadable("an image is missing before the last one")
    return cells


def _listed(archive: Path) -> list[str]:
    try:
        return members_of(archive)
    except ValueError:
        return []


def _check_size(path: str, size: int) -> None:
    if size > MAX_BYTES:
        raise Unreadable(f"{shortened(path)} has more than {MAX_BYTES // 2**20} MiB")
