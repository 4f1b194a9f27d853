"""The only door to Optuna's storage: the study whose rows are the state of the search.

One row is one unit of the budget, for ever. A row is created RUNNING in one transaction that already holds its
plan, so that no moment of a crash leaves a row without one; it ends COMPLETE with values, PRUNED with its values
as attributes only (low fidelity never enters a front), or FAIL with a reason.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from optuna_dashboard._note import SYSTEM_ATTR_MAX_LENGTH, note_str_key_prefix, note_ver_key
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from objectives.objectives import MAXIMIZE, OBJECTIVES
from search.storage.database_url import StorageError, engine_options, parse_url, shown, url_text
from spaces.plan import Plan


@dataclass(frozen=True)
class Row:
    """One row of the study as the controller needs it."""

    number: int
    plan: Plan
    state: str
    """`running`, `complete`, `stopped` or `failed`."""
    values: tuple[float, ...] | None
    attributes: Mapping[str, Any]


_STATES = {
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}


class SearchStudy:
    """Rows of one search in an Optuna study."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._storage = study._storage
        self._ids = {trial.number: trial._trial_id for trial in study.get_trials(deepcopy=False)}

    @classmethod
    def open(cls, url: str, name: str) -> "SearchStudy":
        """Open the study, or create it with the search's objectives.

        Raises:
            StorageError: where the database can't be used.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            storage = RDBStorage(url_text(parse_url(url)), engine_kwargs=engine_options(url))
            study = optuna.create_study(
                storage=storage,
                study_name=name,
                directions=["maximize" if up else "minimize" for up in MAXIMIZE],
                sampler=optuna.samplers.RandomSampler(),
                load_if_exists=True,
            )
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise StorageError(f"the storage {shown(url)!r} can't be used ({reason})") from None
        study.set_metric_names(list(OBJECTIVES))
        return cls(study)

    def rows(self) -> list[Row]:
        """Return all rows, in the order of their numbers."""
        trials = self._study.get_trials(deepcopy=False)
        return [
            Row(
                number=trial.number,
                plan=Plan.parse(trial.user_attrs["plan"]),
                state=_STATES[trial.state],
                values=tuple(trial.values) if trial.state == TrialState.COMPLETE else None,
                attributes=trial.user_attrs,
            )
            for trial in trials
        ]

    def start(self, plan: Plan, attributes: Mapping[str, Any], violations: Mapping[str, float]) -> int:
        """Create a RUNNING row, in one transaction, and return its number.

        The plan is stored as text, and as two counts one can plot against the objectives: one parameter per block
        would cost tens of milliseconds a trial and make the dashboard unreadable.
        """
        counts = {
            "num_attention": plan.num_attention,
            "num_ffn": plan.num_ffn,
        }
        template = create_trial(
            state=TrialState.RUNNING,
            params=counts,
            distributions={name: IntDistribution(0, len(plan)) for name in counts},
            user_attrs={"plan": str(plan), **attributes},
            system_attrs=_constraints(violations),
        )
        template.datetime_start = datetime.now()
        trial_id = self._storage.create_new_trial(self._study._study_id, template_trial=template)
        number = len(self._ids)  # what the storage counts as well: this controller is the only one that adds rows
        self._ids[number] = trial_id
        return number

    def annotate(self, number: int, key: str, value: Any) -> None:
        """Store an attribute on a running row."""
        self._storage.set_trial_user_attr(self._ids[number], key, value)

    def complete(self, number: int, values: Sequence[float], violations: Mapping[str, float]) -> None:
        """End a row with its objectives, and with what is known now of the limits."""
        for key, value in _constraints(violations).items():
            self._storage.set_trial_system_attr(self._ids[number], key, value)
        self._end(number, TrialState.COMPLETE, values)

    def stop(self, number: int) -> None:
        """End a row that did not earn its next rung; its values stay attributes."""
        self._end(number, TrialState.PRUNED, None)

    def fail(self, number: int, reason: str) -> None:
        """End a row that failed."""
        self.annotate(number, "reason", reason)
        self._end(number, TrialState.FAIL, None)

    def note(self, number: int, body: str) -> None:
        """Markdown note of a trial in Optuna Dashboard, written once, when the trial ends.

        `save_note` would read the notes of all trials to write one.
        """
        trial_id, study_id = self._ids[number], self._study._study_id
        for start in range(0, len(body), SYSTEM_ATTR_MAX_LENGTH):
            key = f"{note_str_key_prefix(trial_id)}{start // SYSTEM_ATTR_MAX_LENGTH}"
            self._storage.set_study_system_attr(study_id, key, body[start : start + SYSTEM_ATTR_MAX_LENGTH])
        self._storage.set_study_system_attr(study_id, note_ver_key(trial_id), 1)

    def _end(self, number: int, state: TrialState, values: Sequence[float] | None) -> None:
        if not self._storage.set_trial_state_values(self._ids[number], state, values):
            raise RuntimeError(f"trial {number} can't become {state.name}: its row is no longer running")

    @property
    def engine(self) -> Engine:
        """Optuna's own connections to the database."""
        storage: Any = self._storage
        engine: Engine = getattr(storage, "_backend", storage).engine
        return engine

    def close(self) -> None:
        """Give the database connections back."""
        self._storage.remove_session()
        self.engine.dispose()


def _constraints(violations: Mapping[str, float]) -> dict[str, Any]:
    """Constraint values in both forms: Optuna 5 reads the named ones, Optuna Dashboard the list."""
    if not violations:
        return {}
    named = {f"constraints:{name}": value for name, value in violations.items()}
    return {"constraints": list(violations.values()), **named}
