"""Results database: what every trial was, what each of its rungs measured, and where that comes from.

The Optuna study in the same database is the state of the search; these tables hang on its trial numbers and hold
what a study cannot: rungs, costs, origins, files. Only the controller writes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Engine, Float, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy import Table as CoreTable
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


def now() -> datetime:
    """Return the present, in UTC without a time zone: SQLite stores none."""
    return datetime.now(UTC).replace(tzinfo=None)


class Table(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {dict[str, Any]: JSON, list[float]: JSON}  # noqa: RUF012 (SQLAlchemy reads it)


class Run(Table):
    """One search: its settings and where its numbers come from."""

    __tablename__ = "run"
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(String(32), unique=True)
    """Id of the run, also stored in its folder, which may be moved, renamed, copied or linked."""
    name: Mapped[str] = mapped_column(String(255))
    """Name of its folder when it was made, for people."""
    study: Mapped[str] = mapped_column(String(255))
    """Name of its Optuna study."""
    settings: Mapped[dict[str, Any]]
    origin: Mapped[dict[str, Any]]
    """Versions, git commit, model and data fingerprints, shape, workload, dense costs."""
    created: Mapped[datetime] = mapped_column(default=now)
    finished: Mapped[datetime | None]


class Lease(Table):
    """The controller that may write: see `search/storage/lease.py`."""

    __tablename__ = "lease"
    scope: Mapped[str] = mapped_column(String(64), primary_key=True)
    epoch: Mapped[int]
    """Grows by one with every controller."""
    owner: Mapped[dict[str, Any] | None]
    expires: Mapped[float] = mapped_column(Float(53))
    """Seconds since the epoch of Unix."""


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
    __table_args__ = (UniqueConstraint("trial_id", "rung", "split", "seed"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[int] = mapped_column(ForeignKey("trial.id"), index=True)
    rung: Mapped[int]
    """Place of the rung in the trial's request, from 0."""
    seed: Mapped[int] = mapped_column(BigInteger)
    """Seed of the tuning: on the split `search` the search's own, on `test` one row per seed."""
    split: Mapped[str] = mapped_column(String(16))
    accuracy: Mapped[float]
    flops: Mapped[float]
    flops_ratio: Mapped[float]
    questions: Mapped[int]
    tuning_steps: Mapped[int]
    metrics: Mapped[dict[str, Any]]
    """Accuracy per kind, tune accuracy before and after, latency, seconds."""
    costs: Mapped[dict[str, Any]]
    scores: Mapped[list[float]]
    """Score of every question, in the order of the split: paired comparisons need them."""
    created: Mapped[datetime] = mapped_column(default=now)


class Answers(Table):
    """What a trial answered at its last rung, or on the test split: `search/storage/answers.py`."""

    __tablename__ = "answers"
    __table_args__ = (UniqueConstraint("trial_id", "split", "seed"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[int] = mapped_column(ForeignKey("trial.id"), index=True)
    rung: Mapped[int]
    """As in `rung_result`, whose scores belong to the answers."""
    seed: Mapped[int] = mapped_column(BigInteger)
    """As in `rung_result`."""
    split: Mapped[str] = mapped_column(String(16))
    answers: Mapped[bytes]
    """Compressed JSON, in the order of the split."""
    asked: Mapped[bytes | None]
    """Compressed JSON of the questions, where the plan is the dense one: all others answered the same."""


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


def table_of(model: type[Table]) -> CoreTable:
    """Return the table of a class of rows, for statements without the overhead of objects."""
    table = model.__table__
    assert isinstance(table, CoreTable)
    return table


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Return a session that commits at the end, or leaves nothing behind."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session
