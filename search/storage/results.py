"""Reads and writes the results tables of one run."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, inspect, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from search.storage.answers import StoredAnswers, keep_answers, read_answers
from search.storage.database_url import StorageError, open_engine, shown
from search.storage.schema import bring_up_to_date
from search.storage.tables import Artifact, Event, Routing, Run, RungResult, Trial, now, table_of, transaction
from search.storage.transactions import Transactions, inserted_id
from spaces.plan import Plan

if TYPE_CHECKING:  # slow to import
    from workers.reports import Floor, RungReport
    from workers.requests import TrialRequest

MAPPING_MODULE = "mapping_module"
"""Value of `Artifact.kind` for the tuned mapping module of a trial."""


@dataclass(frozen=True)
class TrialRecord:
    """A trial with its rungs and its stored mapping module."""

    trial: Trial
    rungs: tuple[RungResult, ...]
    mapping_module: str | None
    """Path relative to the artifacts folder; None if the trial stored none."""

    @cached_property
    def plan(self) -> Plan:
        """Return the plan of the trial."""
        return Plan.parse(self.trial.plan)

    def on(self, split: str) -> list[RungResult]:
        """Return the rungs measured on a split, cheapest first."""
        return [rung for rung in self.rungs if rung.split == split]

    @property
    def is_complete(self) -> bool:
        """Return True if the trial finished its last rung, so that it may be on a front."""
        return self.trial.state == "complete" and bool(self.on("search"))

    @property
    def floor(self) -> "Floor | None":
        """Return the accuracy reached without looking at the images, or None if this trial did not measure it."""
        found = (rung.metrics.get("floor") for rung in self.on("search"))
        if (floor := next((each for each in found if each is not None), None)) is None:
            return None
        from workers.reports import Floor

        return Floor.model_validate(floor)

    @property
    def seed(self) -> int:
        """Return the seed of the search, with which the stored mapping module was tuned."""
        return int(self.trial.request["seed"])

    @property
    def tests(self) -> dict[int, RungResult]:
        """Return the results on the test split by seed of tuning; the seed of the search comes first."""
        return {test.seed: test for test in self.on("test")}


class Results:
    """The rows of one run. Only the controller may call the methods that write; `search.route` keeps its result."""

    def __init__(self, engine: Engine, run: Run) -> None:
        self._engine = engine
        self.transactions = Transactions(engine)
        """All writes go through these; the study uses them too, so that both are committed together."""
        self._records: list[TrialRecord] | None = None
        self.run = run
        with Session(engine) as session:
            rows = session.execute(select(Trial.number, Trial.id).where(Trial.run_id == run.id))
            self._ids = {number: row_id for number, row_id in rows}

    @classmethod
    def create(cls, url: str, uid: str, name: str, settings: dict[str, Any], origin: dict[str, Any]) -> "Results":
        """Store a new run and return its results.

        Args:
            url: URL of the database.
            uid: id of the run; unique in the database.
            name: name of the run's folder, shown to users.
            settings: settings of the search as JSON values, without passwords.
            origin: facts about model, data and software as JSON values.

        Raises:
            StorageError: the database can't be used.
        """
        engine = connect(url)
        bring_up_to_date(engine)
        run = Run(uid=uid, name=name, study=f"{name}-{uid[:8]}", settings=settings, origin=origin)
        with transaction(engine) as session:
            session.add(run)
        return cls(engine, run)

    @classmethod
    def open(cls, url: str, uid: str | None = None) -> "Results":
        """Return the results of an existing run.

        Args:
            url: URL of the database.
            uid: id of the run; None for the only run of the database.

        Raises:
            StorageError: there is no such run, or several and no id was given.
        """
        engine = connect(url)
        try:
            if not inspect(engine).has_table("run"):
                raise StorageError(f"{shown(url)!r} has no search: start one with `python -m search.run`")
            if (migrated := bring_up_to_date(engine)) is not None:
                print(migrated, file=sys.stderr)
            runs = list_runs(engine)
        except BaseException:
            engine.dispose()
            raise
        found = [run for run in runs if uid in (None, run.uid)]
        if len(found) == 1:
            return cls(engine, found[0])
        engine.dispose()
        names = ", ".join(f"{run.name} ({run.uid[:8]})" for run in runs) or "none"
        wanted = "the run of this folder" if uid else "exactly one run if no id is given"
        raise StorageError(f"{shown(url)!r} must have {wanted}, got {uid or 'no id'}; its runs: {names}")

    @property
    def engine(self) -> Engine:
        """Return the engine of the database."""
        return self._engine

    @contextmanager
    def one_transaction(self) -> Iterator[None]:
        """Commit all writes inside the `with` block together, including those of the study, or none of them."""
        with self.transactions.begin():
            yield

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        self._records = None
        with self.transactions.begin() as connection:
            yield connection

    def update_settings(self, settings: dict[str, Any]) -> None:
        """Store the settings of a resumed run, some of which may have changed (budget, workers)."""
        with self._write() as connection:
            connection.execute(update(Run).where(Run.id == self.run.id).values(settings=settings, finished=None))
        self.run.settings, self.run.finished = settings, None

    def start_trial(self, number: int, request: "TrialRequest", origin: str, attempt: int) -> None:
        """Store that a trial runs; if it is run again, its row exists and only request, state and attempt change.

        Args:
            number: number of the trial in the study.
            request: the request sent to the worker.
            origin: origin of the proposal, such as `mutation of 17`.
            attempt: 1 for the first attempt.
        """
        plan = request.plan
        values = {"request": request.model_dump(mode="json"), "state": "running", "attempt": attempt}
        with self._write() as connection:
            if number in self._ids:
                connection.execute(update(Trial).where(Trial.id == self._ids[number]).values(**values))
                return
            row = {"run_id": self.run.id, "number": number, "plan": str(plan), "digest": plan.digest, "origin": origin}
            self._ids[number] = inserted_id(connection, _INSERT_TRIAL, row | values)

    def add_rung(self, number: int, report: "RungReport", flops_ratio: float, seed: int | None = None) -> None:
        """Store the report of a rung; a rung measured again after a crash replaces its old result.

        Args:
            number: number of the trial.
            report: report of the rung.
            flops_ratio: the cost that the search minimizes (FLOPs or sparse FLOPs), divided by the dense plan's FLOPs.
            seed: seed of the tuning; None for the seed of the search.
        """
        trial_id = self._ids[number]
        seed = self.run.settings["seed"] if seed is None else seed
        key = {"trial_id": trial_id, "rung": report.rung, "split": report.split, "seed": seed}
        with self._write() as connection:
            connection.execute(_DELETE_RUNG, key)
            connection.execute(_INSERT_RUNG, {**key, "flops_ratio": flops_ratio, **_rung_columns(report)})
            keep_answers(connection, trial_id, report, seed)
            if report.artifact:
                connection.execute(delete(Artifact).filter_by(trial_id=trial_id, kind=MAPPING_MODULE))
                artifact = {"trial_id": trial_id, "kind": MAPPING_MODULE, "path": report.artifact}
                connection.execute(insert(Artifact), artifact)

    def end_trial(self, number: int, state: str, reason: str | None, worker: dict[str, Any] | None) -> None:
        """Store how a trial ended, and the time.

        Args:
            number: number of the trial.
            state: `complete`, `stopped` or `failed`.
            reason: why it was stopped or failed, in one line; None for a complete trial.
            worker: host, device, versions and threads of its worker; None if unknown.
        """
        values = {"_id": self._ids[number], "_state": state, "_reason": reason, "_finished": now()}
        with self._write() as connection:
            if worker:
                connection.execute(_END_ON_WORKER, values | {"_worker": worker})
            else:
                connection.execute(_END_TRIAL, values)

    def finish(self) -> None:
        """Store that the search is finished."""
        with self._write() as connection:
            self.run.finished = now()
            connection.execute(update(Run).where(Run.id == self.run.id).values(finished=self.run.finished))

    def event(self, kind: str, message: str, number: int | None = None) -> None:
        """Store an event.

        Args:
            kind: one or two words, such as `worker lost`.
            message: one line.
            number: number of the trial that it concerns; None if it concerns the run.
        """
        with self._write() as connection:
            row = {"run_id": self.run.id, "kind": kind, "message": message, "trial_number": number}
            connection.execute(insert(Event), row)

    def records(self) -> list[TrialRecord]:
        """Return all trials with their rungs, by number; cached until this object writes again."""
        if self._records is None:
            self._records = self._read()
        return self._records

    def _read(self) -> list[TrialRecord]:
        with Session(self._engine, expire_on_commit=False) as session:
            trials = session.scalars(select(Trial).where(Trial.run_id == self.run.id).order_by(Trial.number)).all()
            ids = select(Trial.id).where(Trial.run_id == self.run.id)
            rungs: dict[int, list[RungResult]] = {}
            for rung in session.scalars(
                select(RungResult).where(RungResult.trial_id.in_(ids)).order_by(RungResult.rung, RungResult.seed)
            ):
                rungs.setdefault(rung.trial_id, []).append(rung)
            artifacts = {
                artifact.trial_id: artifact.path
                for artifact in session.scalars(select(Artifact).where(Artifact.trial_id.in_(ids)))
                if artifact.kind == MAPPING_MODULE
            }
        return [TrialRecord(t, tuple(rungs.get(t.id, ())), artifacts.get(t.id)) for t in trials]

    def counts(self) -> dict[str, int]:
        """Return the number of trials per state, without reading the trials."""
        query = select(Trial.state, func.count()).where(Trial.run_id == self.run.id).group_by(Trial.state)
        with self._engine.connect() as connection:
            return {state: count for state, count in connection.execute(query)}

    def running(self) -> list[tuple[int, int, str]]:
        """Return number, attempt and plan of the trials that run."""
        query = select(Trial.number, Trial.attempt, Trial.plan).where(
            Trial.run_id == self.run.id, Trial.state == "running"
        )
        with self._engine.connect() as connection:
            return [(row.number, row.attempt, row.plan) for row in connection.execute(query.order_by(Trial.number))]

    def answers(self, number: int) -> dict[tuple[str, int], StoredAnswers]:
        """Return the answers of a trial, at its last rung and on the test split, by (split, seed of tuning)."""
        return read_answers(self._engine, self._ids[number])

    def keep_routing(self, result: dict[str, Any], decisions: dict[str, Any]) -> None:
        """Store what `search.route` found, in place of what an earlier call found.

        Args:
            result: the result as JSON values.
            decisions: split -> number of the trial per question.
        """
        row = {"run_id": self.run.id, "result": result, "decisions": decisions}
        with self._write() as connection:
            connection.execute(delete(Routing).filter_by(run_id=self.run.id))
            connection.execute(insert(Routing), row)

    def routing(self) -> Routing | None:
        """Return what the last `search.route` found; None if it was never run."""
        with Session(self._engine, expire_on_commit=False) as session:
            return session.scalar(select(Routing).where(Routing.run_id == self.run.id))

    def routing_is_older(self) -> bool:
        """Return True if a trial ended after `search.route` was run, so that its front may be an older one."""
        row = self.routing()
        ends = [record.trial.finished for record in self.records()]
        return row is not None and any(end is not None and end > row.created for end in ends)

    def events(self, limit: int) -> Sequence[Event]:
        """Return at most `limit` events, newest first."""
        with Session(self._engine, expire_on_commit=False) as session:
            chosen = select(Event).where(Event.run_id == self.run.id).order_by(Event.id.desc()).limit(limit)
            return session.scalars(chosen).all()

    def close(self) -> None:
        """Close the connections to the database."""
        self.transactions.close()
        self._engine.dispose()


_RUNG = table_of(RungResult)
# Built once: SQLAlchemy spends more time on building a statement than SQLite on running it.
_INSERT_TRIAL = insert(table_of(Trial))
_INSERT_RUNG = insert(_RUNG)
_DELETE_RUNG = delete(_RUNG).where(
    *(_RUNG.c[name] == bindparam(name) for name in ("trial_id", "rung", "split", "seed"))
)


_TRIAL = table_of(Trial)
_END_TRIAL = (
    update(_TRIAL)
    .where(_TRIAL.c.id == bindparam("_id"))
    .values(state=bindparam("_state"), reason=bindparam("_reason"), finished=bindparam("_finished"))
)
_END_ON_WORKER = _END_TRIAL.values(worker=bindparam("_worker"))


def _rung_columns(report: "RungReport") -> dict[str, Any]:
    kept = {"accuracy_by_kind", "tuned", "tune_accuracy", "margins", "importance", "floor", "latency", "seconds"}
    return {
        "accuracy": report.accuracy,
        "flops": report.costs["flops"],
        "questions": report.questions,
        "tuning_steps": report.tuning_steps,
        "costs": report.costs,
        "scores": list(report.scores),
        "metrics": report.model_dump(mode="json", include=kept),
    }


def list_runs(engine: Engine) -> Sequence[Run]:
    """Return all runs of a database."""
    with Session(engine, expire_on_commit=False) as session:
        return session.scalars(select(Run)).all()


def connect(url: str) -> Engine:
    """Return an engine after a test connection.

    Raises:
        StorageError: the database can't be reached.
    """
    engine = open_engine(url)
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        raise StorageError(
            f"the storage {shown(url)!r} can't be opened ({reason}): check its folder and permissions"
        ) from None
    return engine
