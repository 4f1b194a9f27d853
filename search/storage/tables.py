"""Results database: what every trial was, what each of its rungs measured, and where that comes from.

The Optuna study in the same database is the state of the search; these tables hang on its trial numbers and hold
what a study cannot: rungs, costs, origins, files. Only the controller writes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Engine,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

#: Seconds a connection waits for SQLite's write lock before it gives up.
SQLITE_BUSY_SECONDS = 60


class StorageError(ValueError):
    """A database that can't be used: one line that says which and why."""


def now() -> datetime:
    """The present, in UTC without a time zone: SQLite stores none."""
    return datetime.now(UTC).replace(tzinfo=None)


class Table(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {dict[str, Any]: JSON, list[float]: JSON}  # noqa: RUF012 (SQLAlchemy reads it)


class Run(Table):
    """One search: its settings and where its numbers come from."""

    __tablename__ = "run"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    settings: Mapped[dict[str, Any]]
    origin: Mapped[dict[str, Any]]
    """Versions, git commit, model and data fingerprints, shape, workload, dense costs."""
    created: Mapped[datetime] = mapped_column(default=now)
    finished: Mapped[datetime | None]


class Trial(Table):
    """One unit of the budget."""

    __tablename__ = "trial"
    __table_args__ = (UniqueConstraint("run_id", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), index=True)
    number: Mapped[int]
    """The trial number of the Optuna study."""
    plan: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64))
    origin: Mapped[str] = mapped_column(String(255))
    """Who proposed the plan: `baseline dense`, `scan block 3`, `mutation of 17`, ..."""
    request: Mapped[dict[str, Any]]
    """The request as sent: `python -m workers` runs it again."""
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)
    attempt: Mapped[int] = mapped_column(default=1)
    worker: Mapped[dict[str, Any] | None]
    """Host, device, versions and threads of the worker that ran it."""
    started: Mapped[datetime] = mapped_column(default=now)
    finished: Mapped[datetime | None]


class RungResult(Table):
    """What one rung of one trial measured on one split."""

    __tablename__ = "rung_result"
    __table_args__ = (UniqueConstraint("trial_id", "rung", "split"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[int] = mapped_column(ForeignKey("trial.id"), index=True)
    rung: Mapped[int]
    """On the split `test` the seed of the tuning, counted from the search's own: one row a seed."""
    split: Mapped[str] = mapped_column(String(16))
    accuracy: Mapped[float]
    flops: Mapped[float]
    flops_ratio: Mapped[float]
    questions: Mapped[int]
    tuning_steps: Mapped[int]
    metrics: Mapped[dict[str, Any]]
    """Seed, accuracy per kind, tune accuracy before and after, latency, seconds."""
    costs: Mapped[dict[str, Any]]
    scores: Mapped[list[float]]
    """Score of every question, in the order of the split: paired comparisons need them."""
    created: Mapped[datetime] = mapped_column(default=now)


class Artifact(Table):
    """A file that belongs to a trial."""

    __tablename__ = "artifact"
    __table_args__ = (UniqueConstraint("trial_id", "kind"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[int] = mapped_column(ForeignKey("trial.id"), index=True)
    kind: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(Text)
    """Relative to the run's artifacts folder."""


class Event(Table):
    """Something worth knowing later: a resume, a lost worker, a failed trial."""

    __tablename__ = "event"
    __table_args__ = (Index("event_by_run", "run_id", "time"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"))
    time: Mapped[datetime] = mapped_column(default=now)
    kind: Mapped[str] = mapped_column(String(64))
    trial_number: Mapped[int | None]
    message: Mapped[str] = mapped_column(Text)


def open_engine(url: str) -> Engine:
    """Engine for a database URL; SQLite gets write-ahead logging and a busy timeout.

    Raises:
        StorageError: where the URL is no database URL or its driver is missing.
    """
    try:
        parsed = make_url(url)
        return create_engine(parsed, **engine_options(url))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise StorageError(
            "--storage must be a database URL such as sqlite:///runs/x/search.db or "
            f"postgresql+psycopg://user@host/name, got {url!r} ({str(error).splitlines()[0]})"
        ) from None


def engine_options(url: str) -> dict[str, Any]:
    """Arguments of `create_engine` for a URL; Optuna's engine takes the same."""
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": SQLITE_BUSY_SECONDS}}
    return {"pool_pre_ping": True}


@event.listens_for(Engine, "connect")
def _sqlite_pragmas(connection: Any, _record: Any) -> None:
    """On the class, so that Optuna's own engine is covered as well.

    With write-ahead logging a reader (the dashboard) never blocks the controller. `synchronous=NORMAL` loses no
    committed row when a process dies, only, at worst, the last ones when the machine loses power.
    """
    if type(connection).__module__.startswith("sqlite3"):
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()


@contextmanager
def held_by_server(url: str, key: int) -> Iterator[bool]:
    """Whether a PostgreSQL server gave us its advisory lock of that 64-bit key, held inside the `with`.

    Always true on SQLite, which has no server.
    """
    engine = open_engine(url)
    try:
        if engine.dialect.name != "postgresql":
            yield True
            return
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield bool(connection.scalar(select(func.pg_try_advisory_lock(key))))
    finally:
        engine.dispose()


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """A session that commits at the end, or leaves nothing behind."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session
