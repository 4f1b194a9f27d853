"""The Optuna study that holds the state of the search; the only module that uses Optuna's storage.

Each row of the study is one trial and counts against the budget; rows are never deleted. A row is created RUNNING in
the same transaction as its plan, so that a crash cannot leave a row without a plan. It ends COMPLETE with objective
values, PRUNED (stopped before the last rung) without objective values, since accuracies of a cheaper rung must not
enter the front, or FAIL with a reason.

Optuna creates the study and reads its rows when a search is started or resumed. After that, this module writes the rows
into Optuna's tables itself: Optuna's storage commits every attribute in a transaction of its own, after reading the
trial. That takes several times as long, and a crash could leave the study without the results of a trial.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import IntDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState
from optuna_dashboard._note import SYSTEM_ATTR_MAX_LENGTH, note_str_key_prefix, note_ver_key
from sqlalchemy import Connection, Table, bindparam, delete, insert, update
from sqlalchemy.exc import SQLAlchemyError

from objectives.objectives import MAXIMIZE, OBJECTIVES
from search.storage.database_url import StorageError, engine_options, parse_url, shown, url_text
from search.storage.tables import now
from search.storage.transactions import Transactions, inserted_id
from spaces.plan import Plan


@dataclass(frozen=True)
class Row:
    """One trial of the study, as the controller needs it."""

    number: int
    plan: Plan
    state: str
    """`running`, `complete`, `stopped` or `failed`."""
    values: tuple[float, ...] | None
    """(accuracy, FLOPs ratio) of a complete trial, else None."""
    attributes: Mapping[str, Any]
    """Optuna's user attributes."""


_STATES = {
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}


class SearchStudy:
    """The trials of one search in an Optuna study."""

    def __init__(self, study: optuna.Study, transactions: Transactions) -> None:
        self._study_id = study._study_id
        self._transactions = transactions
        trials = study.get_trials(deepcopy=False)
        self._rows = [_row(trial) for trial in trials]
        self._ids = {trial.number: trial._trial_id for trial in trials}
        self._keys = {
            trial.number: {*trial.user_attrs, *trial.system_attrs} for trial in trials if not trial.state.is_finished()
        }
        """Keys of the attributes that each running row has."""
        self._taken_over = set(self._keys)
        """Numbers of the rows that were running when the study was opened."""

    @classmethod
    def open(cls, url: str, name: str, transactions: Transactions) -> "SearchStudy":
        """Return the study called `name`, created with the objectives of the search if it does not exist.

        Args:
            url: URL of the database.
            name: name of the study.
            transactions: transactions on the same database, through which the rows are written.

        Raises:
            StorageError: the database can't be used.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            storage = RDBStorage(url_text(parse_url(url)), engine_kwargs=engine_options(url))
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError, RuntimeError) as error:
            raise _unusable(url, error) from None
        try:
            study = optuna.create_study(
                storage=storage,
                study_name=name,
                directions=["maximize" if up else "minimize" for up in MAXIMIZE],
                sampler=optuna.samplers.RandomSampler(),
                load_if_exists=True,
            )
            study.set_metric_names(list(OBJECTIVES))
            return cls(study, transactions)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError) as error:
            raise _unusable(url, error) from None
        finally:
            storage.remove_session()
            storage.engine.dispose()

    def rows(self) -> list[Row]:
        """Return the rows that existed when the study was opened, in the order of their numbers."""
        return self._rows

    def start(self, plan: Plan, attributes: Mapping[str, Any], violations: Mapping[str, float]) -> int:
        """Create a RUNNING trial in one transaction and return its number.

        The plan is stored as text in an attribute. Optuna's parameters of the trial are its numbers of attentions and
        FFNs: one parameter per block would make the dashboard unreadable.

        Args:
            plan: the plan to run.
            attributes: further user attributes, JSON values.
            violations: limit name -> amount by which the plan exceeds it; 0 or less if it is kept.
        """
        number = len(self._ids)  # this controller is the only one that adds rows
        values = {"number": number, "study_id": self._study_id, "state": TrialState.RUNNING, "datetime_start": now()}
        with self._transactions.begin() as connection:
            trial_id = inserted_id(connection, _INSERT_TRIAL, values)
            self._ids[number], self._keys[number] = trial_id, set()
            distribution = distribution_to_json(IntDistribution(0, len(plan)))
            counts = {"num_attention": plan.num_attention, "num_ffn": plan.num_ffn}
            connection.execute(
                _INSERT_PARAMS,
                [
                    {"trial_id": trial_id, "param_name": name, "param_value": count, "distribution_json": distribution}
                    for name, count in counts.items()
                ],
            )
            self._set(connection, _USER, number, {"plan": str(plan), **attributes})
            self._set(connection, _SYSTEM, number, _constraints(violations))
        return number

    def annotate(self, number: int, key: str, value: Any) -> None:
        """Store a user attribute of a running trial, with a JSON value; replace it if it exists."""
        with self._transactions.begin() as connection:
            self._set(connection, _USER, number, {key: value})

    def complete(self, number: int, values: Sequence[float], violations: Mapping[str, float]) -> None:
        """End a trial with its objective values.

        Args:
            number: number of the trial.
            values: accuracy and FLOPs ratio.
            violations: limit name -> amount by which the trial exceeds it, now that its accuracy is known.
        """
        with self._transactions.begin() as connection:
            self._set(connection, _SYSTEM, number, _constraints(violations))
            kind = models.TrialValueModel.TrialValueType.FINITE
            trial_id = self._ids[number]
            connection.execute(
                _INSERT_VALUES,
                [
                    {"trial_id": trial_id, "objective": place, "value": value, "value_type": kind}
                    for place, value in enumerate(values)
                ],
            )
            self._end(connection, number, TrialState.COMPLETE)

    def stop(self, number: int) -> None:
        """End a trial that was stopped before its last rung; it gets no objective values."""
        with self._transactions.begin() as connection:
            self._end(connection, number, TrialState.PRUNED)

    def fail(self, number: int, reason: str) -> None:
        """End a failed trial."""
        with self._transactions.begin() as connection:
            self._set(connection, _USER, number, {"reason": reason})
            self._end(connection, number, TrialState.FAIL)

    def note(self, number: int, body: str) -> None:
        """Write the Markdown note of a trial in Optuna Dashboard, once, when the trial ends."""
        trial_id = self._ids[number]
        parts: dict[str, Any] = {
            f"{note_str_key_prefix(trial_id)}{start // SYSTEM_ATTR_MAX_LENGTH}": body[
                start : start + SYSTEM_ATTR_MAX_LENGTH
            ]
            for start in range(0, len(body), SYSTEM_ATTR_MAX_LENGTH)
        }
        rows = [
            {"study_id": self._study_id, "key": key, "value_json": json.dumps(value)}
            for key, value in {**parts, note_ver_key(trial_id): 1}.items()
        ]
        with self._transactions.begin() as connection:
            if number in self._taken_over:  # earlier versions wrote the note before the end in separate transactions
                keys = [row["key"] for row in rows]
                connection.execute(delete(_NOTES).where(_NOTES.c.study_id == self._study_id, _NOTES.c.key.in_(keys)))
            connection.execute(_INSERT_NOTES, rows)

    def _set(self, connection: Connection, table: Table, number: int, attributes: Mapping[str, Any]) -> None:
        """Insert or update attributes of a running row."""
        trial_id, known = self._ids[number], self._keys[number]
        rows = {
            key: {"trial_id": trial_id, "key": key, "value_json": json.dumps(attributes[key])} for key in attributes
        }
        if fresh := [row for key, row in rows.items() if key not in known]:
            connection.execute(_INSERT_ATTRIBUTES[table], fresh)
        if changed := [row for key, row in rows.items() if key in known]:
            connection.execute(_UPDATE_ATTRIBUTES[table], [{f"_{name}": row[name] for name in row} for row in changed])
        known.update(rows)

    def _end(self, connection: Connection, number: int, state: TrialState) -> None:
        values = {"_trial_id": self._ids[number], "_state": state, "_end": now()}
        if connection.execute(_END_TRIAL, values).rowcount != 1:
            raise RuntimeError(f"trial {number} can't become {state.name}: its row is no longer running")
        del self._keys[number]


def _table(model: Any) -> Table:
    table: Table = model.__table__
    return table


_TRIALS = _table(models.TrialModel)
_USER = _table(models.TrialUserAttributeModel)
_SYSTEM = _table(models.TrialSystemAttributeModel)
_NOTES = _table(models.StudySystemAttributeModel)
# Built once: SQLAlchemy spends more time on building a statement than SQLite on running it.
_INSERT_TRIAL = insert(_TRIALS)
_INSERT_PARAMS = insert(_table(models.TrialParamModel))
_INSERT_VALUES = insert(_table(models.TrialValueModel))
_INSERT_NOTES = insert(_NOTES)
_INSERT_ATTRIBUTES = {table: insert(table) for table in (_USER, _SYSTEM)}
_UPDATE_ATTRIBUTES = {
    table: update(table)
    .where(table.c.trial_id == bindparam("_trial_id"), table.c.key == bindparam("_key"))
    .values(value_json=bindparam("_value_json"))
    for table in (_USER, _SYSTEM)
}
_END_TRIAL = (
    update(_TRIALS)
    .where(_TRIALS.c.trial_id == bindparam("_trial_id"), _TRIALS.c.state == TrialState.RUNNING)
    .values(state=bindparam("_state"), datetime_complete=bindparam("_end"))
)


def _row(trial: optuna.trial.FrozenTrial) -> Row:
    return Row(
        number=trial.number,
        plan=Plan.parse(trial.user_attrs["plan"]),
        state=_STATES[trial.state],
        values=tuple(trial.values) if trial.state == TrialState.COMPLETE else None,
        attributes=trial.user_attrs,
    )


def _unusable(url: str, error: Exception) -> StorageError:
    return StorageError(f"the storage {shown(url)!r} can't be used ({str(error).splitlines()[0]})")


def _constraints(violations: Mapping[str, float]) -> dict[str, Any]:
    """Return the violations as system attributes: Optuna 5 reads one per constraint, Optuna Dashboard the list."""
    if not violations:
        return {}
    named = {f"constraints:{name}": value for name, value in violations.items()}
    return {"constraints": list(violations.values()), **named}
