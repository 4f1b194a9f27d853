"""One controller per run: a second one is refused instead of spoiling the first one's rows.

The run's folder is held on this machine, its name in the database where that is a server others reach as well.
"""

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.storage.tables import held_by_server


class AlreadyRunningError(ValueError):
    """Another controller holds the run."""


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Holds the run's folder; the lock goes with the process, however it ends.

    Raises:
        AlreadyRunningError: where another process holds it.
    """
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(
                f"{folder} is being searched by another process: wait for it, stop it, or take another --out"
            ) from None
        yield


@contextmanager
def name_lock(url: str, name: str) -> Iterator[None]:
    """Holds the run's name on a PostgreSQL server by an advisory lock, which goes with the connection.

    SQLite needs none: its file is in one place.

    Raises:
        AlreadyRunningError: where another connection holds it.
    """
    key = int.from_bytes(hashlib.sha256(f"skipsearch {name}".encode()).digest()[:8], signed=True)
    with held_by_server(url, key) as mine:
        if not mine:
            raise AlreadyRunningError(
                f"the run {name!r} is being searched by another process on this database: wait for it, stop it, or "
                "take an --out of another name"
            )
        yield


def is_held(folder: Path) -> bool:
    """Whether a process holds the run's folder. Creates nothing."""
    try:
        with (folder / ".lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
