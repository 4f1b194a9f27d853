"""Checks that the folder of a run can be written and that its database can be reached; creates nothing."""

import os
from pathlib import Path

from search.settings import Settings
from search.storage.database_url import StorageError, file_of, parse_url
from search.storage.results import connect


def check_places(settings: Settings) -> None:
    """Check that the run folder can be written and that the database can be reached, without creating either.

    Raises:
        StorageError: one of them can't; one line for the user.
    """
    check_writable(settings.run_folder, "--out")
    check_storage(settings.storage_url)


def check_writable(folder: Path, option: str) -> None:
    """Raise StorageError if a folder can neither be created nor written to; create nothing."""
    parent = folder
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise StorageError(
            f"{option} must be a writable folder, got {folder}: choose one outside {parent}, which is not"
        )


def check_storage(url: str) -> Path | None:
    """Return the file of an SQLite database, or None for a server, after checking that it can be used.

    Raises:
        StorageError: the database can't be used. Nothing is created.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        connect(url).dispose()
        return None
    file = file_of(parsed)
    if file is None:
        raise StorageError(f"--storage must be a file or a server, got the database in memory {url!r}: name a file")
    check_writable(file.parent, "--storage")
    if file.is_dir():
        raise StorageError(f"--storage must be a database file, got the folder {file}: name a file in it")
    return file
