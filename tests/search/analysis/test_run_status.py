"""The state of a run: failures by reason, rate and time left, the tests of the front, and the best plans."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from objectives.front import FrontLimits
from search.analysis.run_status import run_status
from search.analysis.summary import summarize
from search.console.status_lines import status_lines
from search.loop.open_run import open_run
from search.storage.find_run import open_results
from tests.search.loop.test_controller import drive
from tests.search.pretend import PretendWorker, problem_of, settings_in
from workers.reports import RungReport
from workers.requests import TrialRequest


class Flaky(PretendWorker):
    """Fails every fourth trial and is interrupted at a given number of requests."""

    def __init__(self, until: int) -> None:
        super().__init__(seconds=0.002, floor=0.2)
        self._until = until

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        if len(self.requests) == self._until:
            raise KeyboardInterrupt
        if request.number and request.number % 4 == 3 and request.rungs[-1].split == "search":
            self.requests.append(request)
            raise RuntimeError(f"[Errno 12] no memory for {request.number} MiB")
        for report in super().rungs(request):
            yield report.model_copy(update={"seconds": {"evaluate": 0.5}})


def state_of(folder: Path, until: int, is_running: bool = True, **changes: Any) -> dict[str, Any]:
    settings = settings_in(folder, **{"budget": 20, "strategy": "random", **changes})
    with open_run(settings, problem_of(settings)) as controller:
        try:
            drive(controller, Flaky(until))
            controller.close()
        except KeyboardInterrupt:
            pass
    results = open_results(folder, None)
    try:
        return run_status(results, is_running) | {"summary": summarize(results)}
    finally:
        results.close()


def test_a_running_search_shows_failures_rate_and_time_left(tmp_path: Path) -> None:
    state = state_of(tmp_path / "run", until=12)
    assert (state["phase"], state["ended"], state["tests"]) == ("searching", 12, None)
    assert state["failures"] == [
        {"reason": "RuntimeError: [Errno 12] no memory for 11 MiB", "count": 3, "last_trial": 11}
    ]
    assert state["trials_per_minute"] > 0 and state["eta_seconds"] > 0
    assert [trial["number"] for trial in state["running"]] == [12]
    assert (state["workers"]["number"], state["workers"]["busy"]) == (1, 1)
    lines = list(status_lines(state))
    assert "  3 x RuntimeError: [Errno 12] no memory for 11 MiB (last: trial 11)" in lines
    assert any("trials/" in line and "left, final tests included" in line for line in lines)


@pytest.mark.slow
def test_front_and_hypervolume_are_those_of_the_report(tmp_path: Path) -> None:
    state = state_of(tmp_path / "run", until=10**9, max_flops=0.9)
    assert state["phase"] == "finished" and state["eta_seconds"] is None
    report = state["summary"]
    assert [each["number"] for each in state["front"]] == [each["number"] for each in report["front"]]
    assert state["hypervolume"] == pytest.approx(report["hypervolume_above_floor"])
    assert state["floor"] == report["floor"]["accuracy"]
    for each in state["best"]:
        assert FrontLimits(0.9, None, 0.2).keeps((each["accuracy"], each["flops_ratio"]))


@pytest.mark.slow
def test_a_search_stopped_in_its_tests_counts_them(tmp_path: Path) -> None:
    state = state_of(tmp_path / "run", until=23, is_running=False)
    assert state["phase"].startswith("stopped")
    assert state["tests"]["ended"] == 3 and state["tests"]["total"] > 3
    seeds = 3 * len(state["front"])
    assert state["tests"]["total"] in (seeds, seeds - 2), "the dense model is tested once if tuning does not change it"
    assert f"3 of {state['tests']['total']} tests of the front ended" in status_lines(state)
