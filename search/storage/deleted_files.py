"""Detects that the files of a run were deleted or replaced during the search."""

from pathlib import Path

from sqlalchemy import Connection, Engine, event

from search.storage.database_url import StorageError, file_of


class FilesGoneError(StorageError):
    """The folder of the run or its database was deleted or replaced after it was opened."""


def watch_files(engine: Engine, folder: Path) -> None:
    """Make each commit of an engine raise FilesGoneError once the files of the run are deleted or replaced.

    Without this check, SQLite continues to write to the deleted file and all results are lost. The folder, the database
    file and, from the first commit on, its write-ahead log are compared; the log exists as long as a connection does.

    Args:
        engine: the database of the run.
        folder: the folder of the run, which must exist.
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
                    f"{path} was deleted or replaced during the search: restore it, then run the same command again"
                )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
