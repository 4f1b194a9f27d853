"""Tables of the results database: runs, trials, results of rungs, answers, artifacts, routers and events.

The Optuna study in the same database is the state of the search. These tables refer to its trials by number and store
what a study cannot: rungs, costs, origins, files. Only the controller writes; the
table of routers is written by `search.route`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Engine, Float, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy import Table as CoreTable
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from objectives.objectives import COST_NAMES


def now() -> datetime:
    """Return the current time in UTC, without a time zone since SQLite stores none."""
    return datetime.now(UTC).replace(tzinfo=None)


class Table(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {dict[str, Any]: JSON, list[float]: JSON}  # noqa: RUF012 (SQLAlchemy reads it)


class Run(Table):
    """One search: its settings and the origin of its results."""

    __tablename__ = "run"
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(String(32), unique=True)
    """Id of the run, also stored in its folder, which may be moved, renamed, copied or linked."""
    name: Mapped[str] = mapped_column(String(255))
    """Name of its folder when it was created, shown to users."""
    study: Mapped[str] = mapped_column(String(255))
    """Name of its Optuna study."""
    settings: Mapped[dict[str, Any]]
    origin: Mapped[dict[str, Any]]
    """Versions, git commit, model and data fingerprints, shape, workload, dense costs."""
    created: Mapped[datetime] = mapped_column(default=now)
    finished: Mapped[datetime | None]


class Lease(Table):
    """The process that may write to a run, see `search.storage.lease`."""

    __tablename__ = "lease"
    scope: Mapped[str] = mapped_column(String(64), primary_key=True)
    epoch: Mapped[int]
    """Incremented by each controller that takes the lease."""
    owner: Mapped[dict[str, Any] | None]
    expires: Mapped[float] = mapped_column(Float(53))
    """Unix time in seconds."""


class Trial(Table):
    """One trial, a unit of the budget."""

    __tablename__ = "trial"
    __table_args__ = (UniqueConstraint("run_id", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), index=True)
    number: Mapped[int]
    """Number of the trial in the Optuna study."""
    plan: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64))
    origin: Mapped[str] = mapped_column(String(255))
    """Origin of the plan: `baseline dense`, `scan block 3`, `mutation of 17`, ..."""
    request: Mapped[dict[str, Any]]
    """The request as sent to the worker; `python -m workers` runs it again."""
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)
    attempt: Mapped[int] = mapped_column(default=1)
    worker: Mapped[dict[str, Any] | None]
    """Host, device, versions and threads of the worker that ran it."""
    started: Mapped[datetime] = mapped_column(default=now)
    finished: Mapped[datetime | None]


class RungResult(Table):
    """The result of one rung of one trial on one split."""

    __tablename__ = "rung_result"
    __table_args__ = (UniqueConstraint("trial_id", "rung", "split", "seed"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[int] = mapped_column(ForeignKey("trial.id"), index=True)
    rung: Mapped[int]
    """Index of the rung in the request, from 0."""
    seed: Mapped[int] = mapped_column(BigInteger)
    """Seed of the tuning: that of the search on the split `search`, one row per seed on `test`."""
    split: Mapped[str] = mapped_column(String(16))
    accuracy: Mapped[float]
    flops: Mapped[float]
    flops_ratio: Mapped[float]
    """Minimized cost divided by that of the dense model; `cost` names it."""
    questions: Mapped[int]
    tuning_steps: Mapped[int]
    metrics: Mapped[dict[str, Any]]
    """Accuracy by kind of question, accuracy on the tune split before and after tuning, latency, seconds per step,
    floor, and the signals that the strategy reads (margins, importance)."""
    costs: Mapped[dict[str, Any]]
    scores: Mapped[list[float]]
    """Score of each question in the order of the split, for paired comparisons."""
    created: Mapped[datetime] = mapped_column(default=now)

    @property
    def cost(self) -> str:
        """Return the name of the minimized cost, whose ratio is `flops_ratio`; FLOPs for runs that did not store it."""
        return COST_NAMES[self.costs.get("minimized", "flops")]

    @property
    def share_of_flops(self) -> float:
        """Return the FLOPs ratio, or that of sparse FLOPs if they are minimized."""
        return float(self.costs["flops_ratio"]) if self.cost == COST_NAMES["latency"] else self.flops_ratio


class Answers(Table):
    """The answers of a trial at its last rung or on the test split, see `search.storage.answers`."""

    __tablename__ = "answers"
    __table_args__ = (UniqueConstraint("trial_id", "split", "seed"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[int] = mapped_column(ForeignKey("trial.id"), index=True)
    rung: Mapped[int]
    """Rung of the `rung_result` with the scores of these answers."""
    seed: Mapped[int] = mapped_column(BigInteger)
    """As in `rung_result`."""
    split: Mapped[str] = mapped_column(String(16))
    answers: Mapped[bytes]
    """Compressed JSON list of answers, in the order of the split."""
    asked: Mapped[bytes | None]
    """Compressed JSON list of the questions; stored for the dense plan only, since all plans answer the same ones."""


class Artifact(Table):
    """A file that belongs to a trial."""

    __tablename__ = "artifact"
    __table_args__ = (UniqueConstraint("trial_id", "kind"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[int] = mapped_column(ForeignKey("trial.id"), index=True)
    kind: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(Text)
    """Path relative to the artifacts folder of the run."""


class Routing(Table):
    """The result of `search.route` for a run, which writes it and replaces it when called again."""

    __tablename__ = "routing"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), unique=True)
    result: Mapped[dict[str, Any]]
    """The result as `search.route --json` prints it (docs/adaptive.md)."""
    decisions: Mapped[dict[str, Any]]
    """Split -> number of the trial whose plan answers each question, in the order of the split, at the share of the
    dense accuracy that summaries show; empty if the front holds no such plan."""
    created: Mapped[datetime] = mapped_column(default=now)


class Event(Table):
    """Something that happened in a run: a resume, a lost worker, a failed trial."""

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
    """Yield a session that commits at the end of the `with` block, or rolls back if it raises."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session
