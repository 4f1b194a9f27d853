"""Memory, file handles and threads over a thousand trials: none of them grows with the number of trials."""

import gc
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from search.console.progress import Progress
from search.dispatch.in_process import run_here
from search.dispatch.ray_actor import TrialActor
from search.dispatch.ray_tune import run_on_ray
from search.loop.open_run import open_run
from tests.search.pretend import PretendWorker, problem_of, settings_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

TRIALS = 1000
FIRST = 400
"""Trial from which on use is compared: imports, caches and pools are filled by then."""
MIB_PER_THOUSAND = 16.0
"""Growth allowed per thousand trials: the history of the search is kept in memory, some kilobytes per trial."""


class Gauge(Progress):
    """Notes what processes use after trial FIRST, and after the last one."""

    def __init__(self, controller: Any, processes: Callable[[], Iterable[psutil.Process]]) -> None:
        super().__init__(controller, TRIALS, Console(file=io.StringIO(), soft_wrap=True))
        self._processes, self._count = processes, 0
        self.use: dict[int, dict[int, tuple[float, int, int]]] = {}

    def ended(self, job: Any, report: Any) -> None:
        super().ended(job, report)
        self._count += 1
        if self._count in (FIRST, TRIALS):
            gc.collect()
            self.use[self._count] = {process.pid: use_of(process) for process in self._processes()}


def use_of(process: psutil.Process) -> tuple[float, int, int]:
    """Return the MiB, file handles and threads of a process."""
    return process.memory_info().rss / 2**20, process.num_fds(), process.num_threads()


def check_flat(gauge: Gauge) -> None:
    first, last = gauge.use[FIRST], gauge.use[TRIALS]
    assert first.keys() == last.keys(), "no process was replaced"
    for pid, (memory, handles, threads) in first.items():
        memory_then, handles_then, threads_then = last[pid]
        assert memory_then - memory <= MIB_PER_THOUSAND * (TRIALS - FIRST) / 1000, (memory, memory_then)
        assert handles_then <= handles + 2 and threads_then <= threads + 2, (gauge.use, pid)


def run(folder: Path, runs: Callable[[Any, Any, Any], None], processes: Callable[[], Any], **changes: Any) -> Gauge:
    settings = settings_in(folder, budget=TRIALS, strategy="random", final_seeds=1, **changes)
    with open_run(settings, problem_of(settings)) as controller, Gauge(controller, processes) as gauge:
        runs(settings, controller, gauge)
        controller.close()
    return gauge


def test_flat_in_this_process(tmp_path: Path) -> None:
    worker: Any = PretendWorker()
    check_flat(run(tmp_path / "run", lambda _, control, gauge: run_here(control, gauge, worker), here))


def here() -> list[psutil.Process]:
    return [psutil.Process()]


class PretendActor(TrialActor):
    def make_worker(self) -> Any:
        return PretendWorker()


@pytest.mark.machines
def test_flat_on_ray(tmp_path: Path) -> None:
    """The controller and both workers."""

    def on_ray(settings: Any, controller: Any, gauge: Any) -> None:
        run_on_ray(settings, controller, gauge, PretendActor)

    gauge = run(tmp_path / "run", on_ray, processes_of_ray, workers=2)
    assert len(gauge.use[TRIALS]) == 3
    check_flat(gauge)


def processes_of_ray() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return here() + [child for child in children if "PretendActor" in " ".join(child.cmdline())]
