"""An Optuna storage that reads another one and refuses to write."""

from collections.abc import Container
from typing import Any, NoReturn

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState


class ReadOnlyStorage(BaseStorage):
    """The studies of another storage. Writing raises, since only the controller writes to a run."""

    def __init__(self, stored: BaseStorage) -> None:
        self._stored = stored

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of a study."""
        return self._stored.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the name of a study."""
        return self._stored.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return one direction per value of a study."""
        return self._stored.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the attributes of a study that users see."""
        return self._stored.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the attributes of a study that Optuna and its dashboard use."""
        return self._stored.get_study_system_attrs(study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return all studies."""
        return self._stored.get_all_studies()

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Return the id of a trial."""
        return self._stored.get_trial_id_from_study_id_trial_number(study_id, trial_number)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial."""
        return self._stored.get_trial(trial_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials of a study, those of some states where they are named."""
        return self._stored.get_all_trials(study_id, deepcopy, states)

    def remove_session(self) -> None:
        """Close the session of this thread."""
        self._stored.remove_session()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise PermissionError("the study is read-only here: only the search writes to it")

    create_new_study = delete_study = create_new_trial = _refuse
    set_study_user_attr = set_study_system_attr = set_trial_user_attr = set_trial_system_attr = _refuse
    set_trial_param = set_trial_state_values = set_trial_intermediate_value = _refuse
