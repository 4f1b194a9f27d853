"""One controller per run: a second one is refused instead of spoiling the first one's rows."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
