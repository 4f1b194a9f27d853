"""Real faults of disk, device and processes during a search; none costs a trial."""

import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from search.dispatch.exit_codes import TRY_AGAIN
from search.dispatch.in_process import run_here
from search.dispatch.whole_search import WholeSearch
from search.settings import Settings
from tests.search.loop.test_controller import records_of
from tests.search.pretend import PretendWorker, problem_of, settings_in
from tests.search.storage.postgres_server import PostgresServer, programs
from workers.reports import RungReport
from workers.requests import TrialRequest

TRIALS = 12


class Faulty(PretendWorker):
    """Meets a fault the first time that it runs one of the trials."""

    def __init__(self, fault: Callable[[], Any], number: int = 5) -> None:
        super().__init__()
        self._fault, self._number = fault, number

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        first_time = all(before.number != self._number for before in self.requests)
        for report in super().rungs(request):
            if request.number == self._number and first_time:
                self._fault()
            yield report


def search(settings: Settings, worker: PretendWorker) -> int:
    def run(controller: Any, progress: Any) -> None:
        run_here(controller, progress, worker)  # type: ignore[arg-type]

    return WholeSearch(settings, problem_of(settings), run).run()


def check_nothing_lost(settings: Settings) -> None:
    records = records_of(settings)
    assert [record.trial.number for record in records] == list(range(TRIALS))
    assert len({record.trial.digest for record in records}) == TRIALS
    assert {record.trial.state for record in records} <= {"complete", "stopped"}
    assert records[5].trial.attempt == 1, "the trial is not to blame"


def settings_of(folder: Path, **changes: Any) -> Settings:
    return settings_in(folder, budget=TRIALS, strategy="random", final_seeds=1, **{"patience": 60, **changes})


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    if programs() is None:
        pytest.skip("needs PostgreSQL's initdb and pg_ctl: apt-get install postgresql")
    with PostgresServer() as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("end", [PostgresServer.kill, PostgresServer.stop], ids=["kill -9", "stopped"])
def test_a_database_server_that_is_restarted_is_waited_for(
    tmp_path: Path, server: PostgresServer, end: Callable[[PostgresServer], None], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(tmp_path / "run", storage=server.url)

    def restart() -> None:
        end(server)
        threading.Timer(1.0, server.start).start()

    assert search(settings, Faulty(restart)) == 0
    assert "the database can't be used" in capsys.readouterr().out
    check_nothing_lost(settings)


@pytest.mark.slow
def test_a_database_server_that_stays_away_ends_the_search_with_one_line(
    tmp_path: Path, server: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(tmp_path / "run", storage=server.url, patience=1)
    assert search(settings, Faulty(server.kill)) == TRY_AGAIN
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("stopped: ")]
    assert ("the database can't be used" in line or "can't be opened" in line) and "the same command continues" in line
    server.start()
    assert search(settings, PretendWorker()) == 0


@pytest.mark.slow
def test_file_handles_that_run_out_cost_no_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = settings_of(tmp_path / "run")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []

    def release() -> None:
        while taken:
            os.close(taken.pop())

    def take_all() -> None:
        threading.Timer(1.5, release).start()
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))

    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 64, hard))
    try:
        assert search(settings, Faulty(take_all)) == 0
    finally:
        time.sleep(0 if not taken else 2)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "no file handles left" in capsys.readouterr().out
    check_nothing_lost(settings)


def test_a_device_that_is_lost_costs_no_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error is of torch's own type and text: no device is lost for real."""
    settings = settings_of(tmp_path / "run")

    def lose() -> None:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    assert search(settings, Faulty(lose)) == 0
    assert "the device is lost (CUDA error" in capsys.readouterr().out
    check_nothing_lost(settings)
