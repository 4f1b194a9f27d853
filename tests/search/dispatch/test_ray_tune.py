"""The same search on real Ray Tune: processes that die, hang and raise, and every unit of the budget once."""

import os
import signal
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest
import ray
from rich.console import Console

from search.console.progress import Progress
from search.dispatch.ray_actor import TrialActor
from search.dispatch.ray_tune import run_on_ray
from search.loop.controller import BlindModelError
from search.loop.open_run import open_run
from search.settings import Settings, SettingsError
from search.storage.results import TrialRecord
from tests.search.loop.test_controller import records_of, study_of
from tests.search.pretend import PretendWorker, problem_of, settings_in
from workers.reports import RungReport
from workers.requests import TrialRequest

pytestmark = [pytest.mark.slow, pytest.mark.alone]


class Victim(PretendWorker):
    """Dies, hangs or raises in the trials that a test names through the environment."""

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        marks = Path(os.environ["VICTIM_MARKS"])
        with (marks / "loads").open("a") as file:
            file.write(f"{os.getpid()} {request.number}\n")
        for report in super().rungs(request):
            self._harm(request.number, marks)
            time.sleep(0.02)
            yield report

    def _harm(self, number: int | None, marks: Path) -> None:
        first_time = not (marks / str(number)).exists()
        (marks / str(number)).touch()
        if number == 3 and first_time:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 7:
            raise RuntimeError("broken on purpose")
        if number == 9:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
            time.sleep(60)


class PretendActor(TrialActor):
    def make_worker(self) -> Any:
        return PretendWorker()


class UnevenWorker(PretendWorker):
    """Takes between nothing and a tenth of a second per rung, by chance."""

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        for report in super().rungs(request):
            time.sleep(SystemRandom().random() / 10)
            yield report


class UnevenActor(TrialActor):
    def make_worker(self) -> Any:
        return UnevenWorker()


class VictimActor(TrialActor):
    grace_seconds = 20.0

    def make_worker(self) -> Any:
        return Victim()


def search(settings: Settings, actor: type[TrialActor], lines: StringIO | None = None) -> list[TrialRecord]:
    console = Console(file=lines or StringIO(), soft_wrap=True)
    with open_run(settings, problem_of(settings)) as controller:
        with Progress(controller, settings.budget, console) as progress:
            run_on_ray(settings, controller, progress, actor)
        assert controller.finished
        controller.close()
    return records_of(settings)


def test_a_search_on_two_workers(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", workers=2, budget=40)
    records = search(settings, PretendActor)
    assert [record.trial.number for record in records] == list(range(40))
    assert len({record.trial.digest for record in records}) == 40
    assert {record.trial.state for record in records} <= {"complete", "stopped"}
    assert any(record.trial.state == "complete" for record in records)
    stopped = [r for r in records if r.trial.state == "stopped" and len(r.on("search")) < 3]
    assert stopped, "successive halving stops trials on Ray as well"
    assert all(trial.state.is_finished() for trial in study_of(settings).trials)
    assert any(record.tests for record in records), "the final front is tested on the workers too"
    assert all(set(record.tests) in (set(), {0, 1, 2}) for record in records[1:]), "with all seeds"
    written = [file for file in (tmp_path / "run" / "ray").rglob("*") if file.is_file()]
    assert not [file for file in written if b"sqlite:" in file.read_bytes()], "Ray never sees the database"
    uneven = search(settings.model_copy(update={"out": tmp_path / "uneven"}), UnevenActor)
    assert list(map(found, uneven)) == list(map(found, records)), "the speed of the workers changes nothing"


def found(record: TrialRecord) -> tuple[Any, ...]:
    """Return what a search found out about a trial."""
    rungs = sorted((rung.split, rung.seed, rung.rung, rung.accuracy) for rung in record.rungs)
    return record.trial.number, record.trial.plan, record.trial.origin, record.trial.state, rungs


def test_dead_hanging_and_raising_workers_cost_no_other_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setenv("VICTIM_MARKS", str(marks))
    settings = settings_in(tmp_path / "run", workers=2, budget=14, strategy="random", time_limit=3)
    lines = StringIO()
    records = search(settings, VictimActor, lines)
    states = {record.trial.number: record.trial.state for record in records}
    assert sorted(states) == list(range(14))
    assert {number for number, state in states.items() if state == "failed"} == {5, 7, 9}
    by_number = {record.trial.number: record.trial for record in records}
    assert by_number[3].attempt == 2, "a worker that died once is replaced, and the trial runs again"
    assert "died 3 times" in str(by_number[5].reason)
    assert "broken on purpose" in str(by_number[7].reason)
    assert "time limit" in str(by_number[9].reason)
    assert "trial=3 lost (its worker process died" in lines.getvalue()
    for number, reason in ((5, "its worker died too often"), (9, "time limit")):
        assert f"trial={number} failed ({reason}" in lines.getvalue(), "a lost trial has its line"
    runs = (marks / "loads").read_text().split("\n")
    assert sum(line.endswith(" 9") for line in runs) == 1, "a time-out is not tried again"


def test_more_gpus_than_there_are_is_one_clear_line(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", workers=2, gpus_per_trial=64)
    with pytest.raises(SettingsError, match="gpus-per-trial"):
        search(settings, PretendActor)
    assert ray.is_initialized() is False


class BlindActor(TrialActor):
    def make_worker(self) -> Any:
        return PretendWorker(floor=1.0)


def test_a_model_that_does_not_see_ends_a_search_on_ray(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", workers=2, budget=10)
    with open_run(settings, problem_of(settings)) as controller:
        with Progress(controller, settings.budget, Console(quiet=True)) as progress, pytest.raises(BlindModelError):
            run_on_ray(settings, controller, progress, BlindActor)
            controller.check_sight()
        assert len(controller.history) < 10
