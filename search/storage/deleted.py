"""Notices that the files of a run were deleted or replaced while it writes to them."""

from pathlib import Path

from sqlalchemy import Connection, Engine, event

from search.storage.database_url import StorageError, file_of


class FilesGoneError(StorageError):
    """The run's folder or its database is no longer the one that was opened."""


def watch_files(engine: Engine, folder: Path) -> None:
    """Make every transaction of an engine fail before its commit once the run's files are gone.

    SQLite goes on writing to a file that was deleted, and loses all of it. Looked at are the folder, the database
    file, and its write-ahead log from the first commit on, which lasts as long as a connection does.

    Args:
        folder: the run's folder, which must exist.
    """
    file = file_of(engine.url)
    paths = [folder, *([file] if file else [])]
    opened = {path: _identity(path) for path in paths}
    log = file.with_name(f"{file.name}-wal") if file else None

    @event.listens_for(engine, "commit")
    def check(connection: Connection) -> None:
        if log is not None and log not in opened and _identity(log) is not None:
            opened[log] = _identity(log)
        for path, before in opened.items():
            if _identity(path) != before:
                raise FilesGoneError(
                    f"{path} was deleted or replaced while the search ran: put it back, then the same command goes on"
                )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
