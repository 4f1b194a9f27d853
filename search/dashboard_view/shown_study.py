"""The study of a run as Optuna Dashboard shows it. What is added to the stored study is computed when it is read.

FLOPs come first and accuracy second, so that the dashboard's Pareto front lies as in the other pictures of a run. The
text of a plan is a parameter too, since labels over points show parameters only.
"""

import json
import re
from collections.abc import Container
from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from optuna_dashboard._custom_plot_data import SYSTEM_ATTR_PLOT_DATA, split_plot_data
from optuna_dashboard._note import get_note_from_system_attrs, note_ver_key, split_body
from optuna_dashboard.artifact._backend import ARTIFACTS_ATTR_PREFIX

from objectives.objectives import OBJECTIVES
from search.dashboard_view.read_only import ReadOnlyStorage
from search.dashboard_view.shown_run import FollowedRun, ShownRun

METRIC_NAMES = "study:metric_names"
"""Key under which Optuna stores the names of the values."""
NOTED = 1000
"""Number of trials up to which all of them have a note, and their plan as a parameter.

Above it, only those on the front and the dense one do: the dashboard searches all notes for every trial, and merges the
choices of all parameters, so its time grows with the square of their number.
"""
TRIAL_NOTE = re.compile(r"dashboard:\d+:note_")
"""Beginning of the keys of a trial's note among the attributes of a study."""


class ShownStudy(ReadOnlyStorage):
    """The study of one run, with its values in the order (FLOPs ratio, accuracy)."""

    def __init__(self, stored: BaseStorage, run: FollowedRun) -> None:
        super().__init__(stored)
        self._run = run
        self._ids: dict[tuple[int, int], int] = {}
        """(id of a study, number of a trial) -> id of the trial."""

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return the study of the run alone, also where the database has others."""
        shown = self._run.now()
        own = [study for study in super().get_all_studies() if study.study_name == shown.study]
        return [
            FrozenStudy(
                study_name=study.study_name,
                direction=None,
                directions=list(reversed(study.directions)),
                user_attrs={**study.user_attrs, **shown.attributes},
                system_attrs=self._with_texts(study._study_id, study.system_attrs, shown),
                study_id=study._study_id,
            )
            for study in own
        ]

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the directions of (FLOPs ratio, accuracy)."""
        return list(reversed(super().get_study_directions(study_id)))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the attributes with model, data, command and settings."""
        return {**super().get_study_user_attrs(study_id), **self._run.now().attributes}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the attributes with names of the values, notes and figures."""
        return self._with_texts(study_id, super().get_study_system_attrs(study_id), self._run.now())

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial as it is shown."""
        return _shown_trial(super().get_trial(trial_id), self._run.now())

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials of a study as they are shown."""
        shown = self._run.now()
        return [_shown_trial(trial, shown) for trial in super().get_all_trials(study_id, True, states)]

    def _with_texts(self, study_id: int, stored: dict[str, Any], shown: ShownRun) -> dict[str, Any]:
        noted = stored if len(shown.digests) <= NOTED else {k: v for k, v in stored.items() if not TRIAL_NOTE.match(k)}
        attributes = {**noted, METRIC_NAMES: list(reversed(stored.get(METRIC_NAMES, OBJECTIVES)))}
        attributes |= {note_ver_key(None): shown.revision, **split_body(shown.note, None)}
        for number, text in shown.trial_notes.items():
            trial_id = self._trial_id(study_id, number)
            note = get_note_from_system_attrs(stored, trial_id)
            body = "\n\n".join(filter(None, [note["body"], text]))
            attributes |= {note_ver_key(trial_id): note["version"] + shown.revision, **split_body(body, trial_id)}
        for name, figure in shown.plots.items():
            attributes |= split_plot_data(figure, f"{SYSTEM_ATTR_PLOT_DATA}{name}:")
        return attributes

    def _trial_id(self, study_id: int, number: int) -> int:
        key = study_id, number
        if key not in self._ids:
            self._ids[key] = self.get_trial_id_from_study_id_trial_number(study_id, number)
        return self._ids[key]


def _shown_trial(trial: FrozenTrial, shown: ShownRun) -> FrozenTrial:
    """Return a trial with its values in the order of the dashboard, and with its rungs, plan and picture.

    Args:
        trial: the stored trial, which is changed.
        shown: the state of the run.
    """
    number = trial.number
    if trial.state == TrialState.COMPLETE:
        trial.values = list(reversed(trial.values))
        plan = trial.user_attrs["plan"]
        if len(shown.digests) <= NOTED or number in shown.trial_notes:
            # A single choice per trial: with all plans as choices, the answer would grow with the square of the trials.
            trial.distributions = {"plan": CategoricalDistribution((plan,)), **trial.distributions}
            trial.params = {"plan": plan, **trial.params}
    trial.intermediate_values = dict(shown.rungs.get(number, {}))
    trial.user_attrs = {**trial.user_attrs, **shown.trial_numbers.get(number, {})}
    if reason := shown.reasons.get(number):
        trial.user_attrs["reason"] = reason
    if digest := shown.digests.get(number):
        picture = {"artifact_id": digest, "filename": "plan.svg", "mimetype": "image/svg+xml", "encoding": None}
        trial.system_attrs = {**trial.system_attrs, f"{ARTIFACTS_ATTR_PREFIX}{digest}": json.dumps(picture)}
    return trial
