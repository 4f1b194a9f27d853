"""Ensures one controller per run, with a lease in the database that fences all writes.

The lease is a row with an owner, an epoch and an expiry time. Taking the lease increments the epoch. Each transaction
of the owner, on the connections of the study as well, compares the epoch before it commits. A controller that was
suspended or disconnected while another one took over can therefore no longer write.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, Engine, event, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from search.storage.tables import Lease

SECONDS = 60.0
"""Term of a lease: seconds after its last renewal until another host may take it."""
RENEWALS = 4
"""Number of renewals per term."""


_HELD: set[str] = set()
"""Scopes that this process holds."""


class AlreadyRunningError(ValueError):
    """Another controller holds the run or has taken it over."""


@dataclass(frozen=True)
class Owner:
    """Identifies a process, so that another process on the same machine can determine whether it still runs."""

    host: str
    """Host name, boot id and process namespace; a pid is unique only within all three."""
    pid: int
    started: float
    """Start time of the process in Unix seconds, since pids are reused."""

    @classmethod
    def this(cls) -> Owner:
        """Return the current process."""
        return cls(_host(), os.getpid(), psutil.Process().create_time())

    @property
    def is_gone(self) -> bool:
        """Return True if the process ran on this machine and has ended."""
        if self.host != _host():
            return False
        try:
            process = psutil.Process(self.pid)
            gone: bool = abs(process.create_time() - self.started) > 1 or process.status() == psutil.STATUS_ZOMBIE
            return gone
        except psutil.NoSuchProcess:
            return True

    @property
    def name(self) -> str:
        """Return process and host as text for messages."""
        return f"process {self.pid} on {self.host.partition(' ')[0]}"


@contextmanager
def held(
    engine: Engine, scope: str, wait: Callable[[str], None] = lambda _: None, seconds: float = SECONDS
) -> Iterator[int]:
    """Hold the lease on `scope` inside the `with` block and renew it in a background thread; yield its epoch.

    A lease whose process has ended on this machine is taken immediately, a lease of another machine when it expires.

    Args:
        engine: the database; also used by the background thread.
        scope: name of the lease, such as the id of a run.
        wait: called with one line for the user before waiting for a lease to expire.
        seconds: term of the lease in seconds.

    Raises:
        AlreadyRunningError: another process holds the lease and renews it.
    """
    epoch = _take(engine, scope, wait, seconds)
    _HELD.add(scope)
    stop = threading.Event()
    thread = threading.Thread(target=_renew, args=(engine, scope, epoch, seconds, stop), daemon=True, name="lease")
    thread.start()
    try:
        yield epoch
    finally:
        _HELD.discard(scope)
        stop.set()
        thread.join(timeout=seconds)
        _give_back(engine, scope, epoch)


def fence(engine: Engine, scope: str, epoch: int) -> None:
    """Make each commit of an engine raise AlreadyRunningError once another process has taken the lease.

    Args:
        engine: the engine to guard.
        scope: name of the lease.
        epoch: epoch of this process's lease, as yielded by `held`.
    """
    query = select(Lease.epoch).where(Lease.scope == scope)
    if engine.dialect.name == "postgresql":
        query = query.with_for_update(read=True)  # the lease can't be taken between this check and the commit
    compiled = query.compile(dialect=engine.dialect)  # once, because every transaction runs it
    values = compiled.params
    arguments = tuple(values[name] for name in compiled.positiontup or ()) if compiled.positional else values

    @event.listens_for(engine, "commit")
    def check(connection: Connection) -> None:
        if connection.exec_driver_sql(compiled.string, arguments).scalar() != epoch:
            raise AlreadyRunningError(
                "another process took over this run while this one could not renew its lease: this one stops, and has "
                "written nothing since"
            )


def database_scope(file: Path) -> str:
    """Return the scope of a whole SQLite file; a copy of the file has another scope."""
    found = file.stat()
    return f"file {found.st_dev}:{found.st_ino}"


def holder(engine: Engine, scope: str) -> Owner | None:
    """Return the process that holds a lease, or None if it is free, expired, or its process has ended."""
    with engine.connect() as connection:
        row = connection.execute(select(Lease).where(Lease.scope == scope)).mappings().first()
    if row is None or not row["owner"] or row["expires"] < time.time():
        return None
    owner = Owner(**row["owner"])
    return None if owner.is_gone else owner


def _take(engine: Engine, scope: str, wait: Callable[[str], None], seconds: float) -> int:
    """Take the lease and return its new epoch; wait for up to two terms if another host holds it."""
    deadline = time.monotonic() + 2 * seconds
    seen: float | None = None
    while True:
        row = _row(engine, scope)
        owner = Owner(**row["owner"]) if row["owner"] else None
        given_up = owner == Owner.this() and scope not in _HELD  # release failed, since the database was unavailable
        if owner is None or owner.is_gone or given_up or row["expires"] < time.time():
            if _write(engine, scope, row["epoch"], row["epoch"] + 1, Owner.this().__dict__, seconds):
                return int(row["epoch"]) + 1
            continue
        renewed = seen is not None and row["expires"] > seen
        if owner.host == _host() or renewed or time.monotonic() > deadline:
            raise AlreadyRunningError(
                f"only one process may search a run at a time, got a run that {owner.name} searches: wait for it, "
                "stop it, or choose another --out"
            )
        if seen is None:
            wait(f"waiting up to {row['expires'] - time.time():.0f} s for the lease of {owner.name} to expire")
        seen = row["expires"]
        time.sleep(min(1.0, seconds / 10))


def _row(engine: Engine, scope: str) -> dict[str, Any]:
    """Return the row of a scope, created if it does not exist."""
    while True:
        with engine.connect() as connection:
            found = connection.execute(select(Lease).where(Lease.scope == scope)).mappings().first()
        if found is not None:
            return dict(found)
        try:
            with engine.begin() as connection:
                connection.execute(insert(Lease).values(scope=scope, epoch=0, owner=None, expires=0.0))
        except IntegrityError:
            continue  # another process has created it in between


def _write(engine: Engine, scope: str, epoch: int, new: int, owner: dict[str, Any] | None, seconds: float) -> bool:
    """Update the row if its epoch is still `epoch`; return True if it was."""
    values = {"epoch": new, "owner": owner, "expires": time.time() + seconds}
    with engine.begin() as connection:
        return connection.execute(update(Lease).filter_by(scope=scope, epoch=epoch).values(**values)).rowcount == 1


def _renew(engine: Engine, scope: str, epoch: int, seconds: float, stop: threading.Event) -> None:
    owner = Owner.this().__dict__
    while not stop.wait(seconds / RENEWALS):
        try:
            if not _write(engine, scope, epoch, epoch, owner, seconds):
                return  # another process has taken the lease: the fence raises at the next commit
        except SQLAlchemyError:
            continue  # the database is unavailable; the next renewal shows whether the lease was lost meanwhile


def _give_back(engine: Engine, scope: str, epoch: int) -> None:
    try:
        _write(engine, scope, epoch, epoch, None, 0.0)
    except SQLAlchemyError:
        return  # the lease expires by itself


def _host() -> str:
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    known = boot.read_text().strip() if boot.exists() else ""
    return f"{socket.gethostname()} {known} {os.readlink(namespace) if namespace.is_symlink() else ''}".strip()
