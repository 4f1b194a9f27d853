"""A folder that appears all at once: written beside its place, moved there by one rename."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from workers.export.route import ExportError

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def replacing(folder: Path, force: bool, needed_bytes: int = 0) -> Iterator[Path]:
    """Yields a new folder beside `folder` and puts it there at the end; until then, whatever happens, the place is
    as it was: an exception takes the new folder away, and what `kill -9` leaves behind the next export does.

    Raises ExportError where the place is taken and `force` is not set, can't be written, or the disk is full.
    """
    folder = folder.absolute()
    check_target(folder, force)
    partial = folder.parent / f".{folder.name}.partial-{os.getpid()}"
    try:
        _sweep(folder)
        partial.mkdir(parents=True)
        _check_space(folder, needed_bytes)
        yield partial
        _put(partial, folder, force)
    except (OSError, SafetensorError) as error:
        raise _told(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_target(folder: Path, force: bool) -> None:
    """Raises ExportError where something is at the place already, unless `force` may replace a folder."""
    if os.path.lexists(folder) and not (force and folder.is_dir() and not folder.is_symlink()):
        what = "a folder that is there already" if folder.is_dir() else "a file"
        way = "--force replaces it" if folder.is_dir() and not folder.is_symlink() else "choose another place"
        raise ExportError(f"--to must be a new folder, got {folder}, {what}: {way}")


def _sweep(folder: Path) -> None:
    """Takes away what killed exports to the same place left behind."""
    for leftover in folder.parent.glob(f".{folder.name}.partial-*"):
        if not _runs(leftover.name.rpartition("-")[2]):
            shutil.rmtree(leftover)


def _runs(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return int(process) != os.getpid()


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise ExportError(
            f"--to must have room for about {needed / 1e6:.0f} MB, got {folder} with {free / 1e6:.0f} MB free: "
            "make room, or choose another place"
        )


def _put(partial: Path, folder: Path, force: bool) -> None:
    if not force or not folder.exists():
        check_target(folder, force)  # somebody may have been faster
        partial.rename(folder)
        return
    _exchange(partial, folder)  # the old folder is under the partial name now and goes with it


def _exchange(one: Path, other: Path) -> None:
    """Swaps two folders in one step where the system can (Linux), else in three."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        done = libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
        if done == 0:
            return
        if ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
    aside = one.with_name(one.name.replace(".partial-", ".partial-old-"))
    other.rename(aside)
    one.rename(other)
    aside.rename(one)


def _told(folder: Path, error: Exception) -> ExportError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
    return ExportError(
        f"--to must be a place that can be written, got {folder} ({reason}): make room, or choose another"
    )
