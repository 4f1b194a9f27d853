"""Reads and writes the results tables of one run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, delete, inspect, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from search.storage.tables import (
    Artifact,
    Event,
    Run,
    RungResult,
    StorageError,
    Table,
    Trial,
    now,
    open_engine,
    transaction,
)
from workers.requests import RungReport, TrialRequest

#: Kind of artifact: the tuned projector of a trial.
MAPPING_MODULE = "mapping_module"


@dataclass(frozen=True)
class TrialRecord:
    """A trial with its rungs and the path of its stored mapping module."""

    trial: Trial
    rungs: tuple[RungResult, ...]
    mapping_module: str | None

    def on(self, split: str) -> list[RungResult]:
        """The rungs measured on a split, cheapest first."""
        return [rung for rung in self.rungs if rung.split == split]

    @property
    def seed(self) -> int:
        """Seed of the search, with which the trial's stored mapping module was tuned."""
        return int(self.trial.request["seed"])

    @property
    def tests(self) -> dict[int, RungResult]:
        """What was measured on the test split, by the seed of the tuning; that of the search comes first."""
        # Runs that knew one seed only did not say which.
        return {test.metrics.get("seed", self.seed): test for test in self.on("test")}


class Results:
    """The rows of one run. Only the controller calls what writes."""

    def __init__(self, engine: Engine, run: Run) -> None:
        self._engine = engine
        self.run = run
        with Session(engine) as session:
            rows = session.execute(select(Trial.number, Trial.id).where(Trial.run_id == run.id))
            self._ids = {number: row_id for number, row_id in rows}

    @classmethod
    def create(cls, url: str, name: str, settings: dict[str, Any], origin: dict[str, Any]) -> "Results":
        """Opens the run called `name`, made with these settings where there is none yet."""
        engine = _connect(url)
        _refuse_older_tables(engine, url)
        Table.metadata.create_all(engine)
        with transaction(engine) as session:
            run = session.scalar(select(Run).where(Run.name == name))
            if run is None:
                run = Run(name=name, settings=settings, origin=origin)
                session.add(run)
        return cls(engine, run)

    @staticmethod
    def check(url: str) -> None:
        """Raises StorageError where the database can't be reached."""
        _connect(url).dispose()

    @classmethod
    def open(cls, url: str, name: str | None = None) -> "Results":
        """Opens an existing run; the only one of the database where no name is given.

        Raises:
            StorageError: where there is no such run.
        """
        engine = _connect(url)
        try:
            with Session(engine, expire_on_commit=False) as session:
                runs = session.scalars(select(Run)).all()
        except SQLAlchemyError as error:
            reason = str(error).splitlines()[0]
            raise StorageError(f"{url!r} holds no search ({reason}): start one with `python -m search.run`") from None
        found = [run for run in runs if name in (None, run.name)]
        if len(found) != 1:
            names = ", ".join(run.name for run in runs) or "none"
            raise StorageError(f"{url!r} must hold the run asked for, got {name or 'no name'}; it holds: {names}")
        return cls(engine, found[0])

    def update_settings(self, settings: dict[str, Any]) -> None:
        """Stores settings that changed on resume (budget, workers)."""
        with transaction(self._engine) as session:
            self.run = session.merge(Run(id=self.run.id, settings=settings, finished=None))

    def start_trial(self, number: int, request: TrialRequest, origin: str, attempt: int) -> None:
        """Notes that a trial runs; a row that is there already (a resumed one) gets its new attempt."""
        plan = request.parsed_plan
        values = {"request": request.model_dump(mode="json"), "state": "running", "attempt": attempt}
        with transaction(self._engine) as session:
            if number in self._ids:
                session.execute(update(Trial).where(Trial.id == self._ids[number]).values(**values))
                return
            trial = Trial(
                run_id=self.run.id, number=number, plan=str(plan), digest=plan.digest, origin=origin, **values
            )
            session.add(trial)
        self._ids[number] = trial.id

    def add_rung(self, number: int, report: RungReport, flops_ratio: float, seed: int | None = None) -> None:
        """Stores what a rung measured; measured again (after a crash), the new numbers replace the old.

        `flops_ratio` is what the search minimizes: of FLOPs, or of sparse FLOPs. `seed` is that of the tuning, None the
        search's own.
        """
        trial_id = self._ids[number]
        seed = self.run.settings["seed"] if seed is None else seed
        key = {"trial_id": trial_id, "rung": report.rung, "split": report.split}
        with transaction(self._engine) as session:
            session.execute(delete(RungResult).filter_by(**key))
            session.add(RungResult(**key, flops_ratio=flops_ratio, **_rung_columns(report, seed)))
            if report.artifact:
                session.execute(delete(Artifact).filter_by(trial_id=trial_id, kind=MAPPING_MODULE))
                session.add(Artifact(trial_id=trial_id, kind=MAPPING_MODULE, path=report.artifact))

    def end_trial(self, number: int, state: str, reason: str | None, worker: dict[str, Any] | None) -> None:
        """Stores how a trial ended and on what worker."""
        values = {"state": state, "reason": reason, "finished": now(), **({"worker": worker} if worker else {})}
        with transaction(self._engine) as session:
            session.execute(update(Trial).where(Trial.id == self._ids[number]).values(**values))

    def finish(self) -> None:
        """Notes that the whole search is done."""
        with transaction(self._engine) as session:
            session.merge(Run(id=self.run.id, finished=now()))

    def event(self, kind: str, message: str, number: int | None = None) -> None:
        """Stores something worth knowing later."""
        with transaction(self._engine) as session:
            session.add(Event(run_id=self.run.id, kind=kind, message=message, trial_number=number))

    def records(self) -> list[TrialRecord]:
        """All trials with their rungs, by number."""
        with Session(self._engine, expire_on_commit=False) as session:
            trials = session.scalars(select(Trial).where(Trial.run_id == self.run.id).order_by(Trial.number)).all()
            ids = select(Trial.id).where(Trial.run_id == self.run.id)
            rungs: dict[int, list[RungResult]] = {}
            for rung in session.scalars(
                select(RungResult).where(RungResult.trial_id.in_(ids)).order_by(RungResult.rung)
            ):
                rungs.setdefault(rung.trial_id, []).append(rung)
            artifacts = {
                artifact.trial_id: artifact.path
                for artifact in session.scalars(select(Artifact).where(Artifact.trial_id.in_(ids)))
                if artifact.kind == MAPPING_MODULE
            }
        return [TrialRecord(t, tuple(rungs.get(t.id, ())), artifacts.get(t.id)) for t in trials]

    def events(self, limit: int) -> Sequence[Event]:
        """The latest events, newest first."""
        with Session(self._engine, expire_on_commit=False) as session:
            chosen = select(Event).where(Event.run_id == self.run.id).order_by(Event.id.desc()).limit(limit)
            return session.scalars(chosen).all()

    def close(self) -> None:
        """Gives the database connections back."""
        self._engine.dispose()


def _rung_columns(report: RungReport, seed: int) -> dict[str, Any]:
    kept = {"accuracy_by_kind", "tuned", "tune_accuracy", "margins", "importance", "latency", "seconds"}
    return {
        "accuracy": report.accuracy,
        "flops": report.costs["flops"],
        "questions": report.questions,
        "tuning_steps": report.tuning_steps,
        "costs": report.costs,
        "scores": list(report.scores),
        "metrics": {"seed": seed, **report.model_dump(mode="json", include=kept)},
    }


def _refuse_older_tables(engine: Engine, url: str) -> None:
    """Raises StorageError for tables that allow a plan one trial only, so that none could go on with another."""
    tables = inspect(engine)
    if tables.has_table("trial") and any("digest" in c["column_names"] for c in tables.get_unique_constraints("trial")):
        raise StorageError(
            f"{url!r} was made by an earlier version, whose searches can't be taken up: start a new one (--out), "
            "with this one as --warm-start"
        )


def _connect(url: str) -> Engine:
    """An engine that has been seen to work."""
    engine = open_engine(url)
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        raise StorageError(f"the storage {url!r} can't be opened ({reason}): check its folder and its rights") from None
    return engine
