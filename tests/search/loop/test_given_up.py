"""Searches that can't succeed end early, and the corrected command can run."""

from pathlib import Path

import pytest

from search.loop.controller import MAX_SAME_FAILURES
from search.loop.open_run import open_run
from search.settings import Settings, SettingsError
from tests.search.loop.test_controller import drive, records_of, search
from tests.search.pretend import PretendWorker, problem_of, settings_in
from workers.requests import TrialRequest


class Failing(PretendWorker):
    """Fails the dense plan, or all others, with a message of its own for every trial."""

    def __init__(self, dense: bool, others: bool, message: str = "no room for {number} rows") -> None:
        super().__init__()
        self._fails, self._message = {True: dense, False: others}, message

    def rungs(self, request: TrialRequest):
        if self._fails[request.plan.is_dense]:
            raise RuntimeError(self._message.format(number=request.number))
        yield from super().rungs(request)


def given_up(settings: Settings, worker: PretendWorker) -> str | None:
    with open_run(settings, problem_of(settings)) as controller:
        drive(controller, worker)
        assert controller.finished
        return controller.given_up


def test_a_dense_model_that_fails_ends_it_with_its_reason(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", strategy="random")
    reason = given_up(settings, Failing(dense=True, others=False))
    assert reason == "the dense model failed: RuntimeError: no room for 0 rows"
    assert [record.trial.state for record in records_of(settings)] == ["failed"]


@pytest.mark.slow
def test_trials_that_fail_alike_end_it_whatever_numbers_they_name(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", strategy="random")
    reason = given_up(settings, Failing(dense=False, others=True))
    assert reason is not None and reason.startswith(
        f"{MAX_SAME_FAILURES} trials in a row failed for the same reason: RuntimeError: no room"
    )
    assert len(records_of(settings)) == 1 + MAX_SAME_FAILURES


@pytest.mark.slow
def test_trials_that_fail_for_reasons_of_their_own_do_not(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", strategy="random", budget=12)

    class Various(Failing):
        def rungs(self, request: TrialRequest):
            self._message = "abcdefghijklmnopqrstuvwxyz"[: request.number]
            yield from super().rungs(request)

    assert given_up(settings, Various(dense=False, others=True)) is None
    assert len(records_of(settings)) == 12


@pytest.mark.parametrize("changes", [{}, {"seed": 3}, {"space": "blocks"}])
def test_nothing_measured_blocks_no_corrected_command(tmp_path: Path, changes: dict[str, object]) -> None:
    settings = settings_in(tmp_path / "run", strategy="random", budget=6)
    given_up(settings, Failing(dense=True, others=False))
    records = search(settings_in(tmp_path / "run", strategy="random", budget=6, **changes))
    assert [record.trial.state for record in records].count("failed") == 0
    assert len(records) == 6


def test_what_was_measured_is_not_started_anew(tmp_path: Path) -> None:
    search(settings_in(tmp_path / "run", strategy="random", budget=6))
    other = settings_in(tmp_path / "run", strategy="random", budget=6, seed=3)
    with pytest.raises(SettingsError, match="seed was 0, now 3"), open_run(other, problem_of(other)):
        pass
