"""Searches on simulated parallel workers: the controller is told the same in the same order, whatever their speed."""

import heapq
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from rich.console import Console

from search.analysis.expected_work import work_of_rung
from search.console.progress import Progress
from search.dispatch.dispatcher import Dispatcher
from search.dispatch.virtual_clock import VirtualClock
from search.loop.controller import Controller
from search.loop.job import Job
from search.loop.open_run import open_run
from search.settings import Settings
from tests.search.pretend import PretendWorker, problem_of, settings_in
from workers.reports import RungReport, TrialReport
from workers.requests import TrialRequest
from workers.trial import TrialRun

GRACE = 30.0
SEARCH: dict[str, Any] = {"budget": 20, "seed": 3, "strategy": "evolution", "keep_fraction": 0.2, "final_seeds": 2}
"""A search whose strategy costs little, and proposes by what it was told."""


class Heard:
    """Listens to what the controller is told."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def rung(self, job: Job, report: RungReport) -> None:
        self.events.append((*job.key, str(job.request.plan), report.rung, report.accuracy))

    def ended(self, job: Job, report: TrialReport) -> None:
        self.events.append((*job.key, report.state, report.reason))


class FailingWorker(PretendWorker):
    """Fails in every seventh trial."""

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        if request.number is not None and request.number % 7 == 6:
            raise RuntimeError("broken on purpose")
        yield from super().rungs(request)


class Pool:
    """Parallel workers that do nothing but take time, as Tune drives them; it fails if the search stands still."""

    def __init__(self, dispatcher: Dispatcher, workers: int, chance: Random, losses: float) -> None:
        self._dispatcher, self._free, self._chance, self._losses = dispatcher, workers, chance, losses
        self._names = map(str, itertools.count())
        self._runs: dict[str, TrialRun] = {}
        self._steps: list[tuple[float, str]] = []
        self._now = 0.0

    def run(self) -> None:
        self._start()
        while not self._dispatcher.finished:
            self._now, name = heapq.heappop(self._steps)
            if self._chance.random() < self._losses:
                self._leave(name)
                self._dispatcher.lost(name)
            else:
                self._runs[name].next()
                report = self._runs[name].report().model_dump_json()
                self._dispatcher.arrived(name, report, lambda name=name: self._process(name))  # type: ignore[misc]
            while self._dispatcher.pass_on():
                self._start()
            self._start()
        assert not self._steps, "no worker runs when the search has ended"
        if self._dispatcher.failure is not None:
            raise self._dispatcher.failure

    def _start(self) -> None:
        while self._free and (job := self._dispatcher.start(name := next(self._names))) is not None:
            self._free -= 1
            self._runs[name] = TrialRun(FailingWorker(), job.request)  # type: ignore[arg-type]
            self._step(name)

    def _step(self, name: str) -> None:
        heapq.heappush(self._steps, (self._now + self._chance.expovariate(1.0), name))

    def _process(self, name: str) -> None:
        if self._dispatcher.received(name) and not self._runs[name].ended:
            self._step(name)
        else:
            self._leave(name)
            self._dispatcher.ended(name)

    def _leave(self, name: str) -> None:
        self._runs.pop(name).close()
        self._free += 1


def clock_of(controller: Controller, workers: int) -> VirtualClock:
    def work(job: Job, rung: int) -> float:
        return work_of_rung(job.request, rung, controller.history.record(job.number).flops_ratio, controller.rows)

    return VirtualClock(workers, work)


def search(settings: Settings, speed: int, losses: float = 0.0, in_order: bool = True) -> list[tuple[Any, ...]]:
    """Run a search at speeds and with losses drawn with a seed, and return what the controller was told."""
    heard = Heard()
    with open_run(settings, problem_of(settings)) as controller:
        progress = Progress(controller, settings.budget, Console(quiet=True), listeners=[heard])
        clock = clock_of(controller, settings.num_workers) if in_order else None
        dispatcher = Dispatcher(controller, progress, GRACE, lambda begin: True, clock)
        Pool(dispatcher, settings.num_workers, Random(speed), losses).run()
        controller.close()
    return heard.events


@pytest.mark.parametrize("workers", [2, 3])
def test_no_speed_and_no_loss_changes_a_search(tmp_path: Path, workers: int) -> None:
    def heard(speed: int, losses: float) -> list[tuple[Any, ...]]:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            return search(settings_in(Path(folder), workers=workers, **SEARCH), speed, losses)

    expected = heard(speed=0, losses=0.0)
    assert "failed" in {state for *_, state, reason in expected if reason}, "trials fail on the way"
    assert any("test" in event for event in expected)

    @examples(max_examples=3)
    @given(speed=st.integers(1, 10**6), losses=st.sampled_from([0.0, 0.2]))
    def same(speed: int, losses: float) -> None:
        assert heard(speed, losses) == expected

    same()


def test_without_the_clock_speed_does_change_a_search(tmp_path: Path) -> None:
    settings = [settings_in(tmp_path / str(speed), workers=3, **SEARCH) for speed in range(2)]
    first, second = (search(each, speed, in_order=False) for speed, each in enumerate(settings))
    assert first != second


def test_a_resumed_search_ends(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", workers=2, budget=12, strategy="evolution")
    with open_run(settings, problem_of(settings)) as controller:
        assert [controller.next(), controller.next()] != [None, None], "two trials were running when it was cut off"
    search(settings, speed=5)
    again = settings.model_copy(update={"budget": 14, "workers": 3})
    numbers = {number for number, phase, *_ in search(again, speed=6) if phase == "search"}
    assert numbers == {12, 13}


def test_a_worker_that_dies_in_every_attempt_fails_its_trial_in_its_turn(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", workers=2, budget=6, strategy="random", final_seeds=1)
    with open_run(settings, problem_of(settings)) as controller:
        progress = Progress(controller, settings.budget, Console(quiet=True))
        clock = clock_of(controller, 2)
        dispatcher = Dispatcher(controller, progress, GRACE, lambda begin: False, clock)
        Pool(dispatcher, 2, Random(1), losses=1.0).run()
        assert dispatcher.failure is None and controller.given_up, "the dense model failed"
