"""Creates a folder atomically: it is written next to its target, then moved there by one rename."""

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
    """Yield a new folder next to `folder` and move it to `folder` at the end.

    Until then, the target does not change. After an exception the new folder is removed. If the process is killed, the
    next export to the same target removes it.

    Args:
        folder: the target.
        force: True to replace an existing folder.
        needed_bytes: free space that the disk must have.

    Raises:
        ExportError: the target exists and `force` is not set, the target cannot be written, or the disk is full.
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
        raise _export_error(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_target(folder: Path, force: bool) -> None:
    """Check that nothing exists at the target, except a folder that `force` may replace.

    Raises:
        ExportError: something exists there.
    """
    if os.path.lexists(folder) and not (force and folder.is_dir() and not folder.is_symlink()):
        what = "a folder that is there already" if folder.is_dir() else "a file"
        way = "--force replaces it" if folder.is_dir() and not folder.is_symlink() else "choose another place"
        raise ExportError(f"--to must be a new folder, got {folder}, {what}: {way}")


def _sweep(folder: Path) -> None:
    """Remove the folders left by killed exports to the same target."""
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
            f"--to needs about {needed / 1e6:.0f} MB, got {folder} with {free / 1e6:.0f} MB free: "
            "free disk space, or choose another place"
        )


def _put(partial: Path, folder: Path, force: bool) -> None:
    if not force or not folder.exists():
        check_target(folder, force)  # another process may have created it meanwhile
        partial.rename(folder)
        return
    _exchange(partial, folder)  # the old folder has the partial name now, under which it is removed


def _exchange(one: Path, other: Path) -> None:
    """Exchange two folders, atomically if the system supports it (Linux), else by three renames."""
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


def _export_error(folder: Path, error: Exception) -> ExportError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
    return ExportError(
        f"--to must be a folder that can be written, got {folder} ({reason}): free disk space, or choose another"
    )
