"""CPU time and memory of the controller and of the commands that read a run: `python -m benchmarks.controller_size`.

Runs a whole search on SQLite with a worker that returns fixed reports immediately. CPU time, unlike elapsed time, does
not depend on other processes; the worker's own is subtracted.
"""

import io
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console

from benchmarks.origin import heading
from search.console.progress import Progress
from search.dispatch.in_process import run_here
from search.loop.open_run import open_run
from tests.search.pretend import PretendWorker, problem_of, settings_in
from workers.reports import RungReport
from workers.requests import TrialRequest

ALLOWED = 0.005
"""Largest CPU time in seconds per trial at the last size, from the issue tracker."""
ALLOWED_COMMANDS = {"report": 3.0, "status": 1.0}
"""Largest CPU time in seconds of the commands, from the issue tracker."""
LAST = 200
"""Number of trials before a size over which its CPU time is averaged."""


class TimedWorker(PretendWorker):
    """Adds up its own CPU time, so that it can be subtracted from that of the process."""

    cpu = 0.0

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        before = time.process_time()
        for report in super().rungs(request):
            self.cpu += time.process_time() - before
            yield report
            before = time.process_time()


class Gauge(Progress):
    """Prints CPU time per trial, memory, file handles and threads of the process at the given numbers of trials."""

    def __init__(self, controller: Any, budget: int, worker: TimedWorker, sizes: list[int]) -> None:
        # Progress lines are written, because their time is part of a search's.
        super().__init__(controller, budget, Console(file=io.StringIO(), highlight=False, soft_wrap=True))
        self._worker, self._sizes, self._count = worker, sizes, 0
        self._cpu: dict[int, float] = {}
        self.last = 0.0

    def ended(self, job: Any, report: Any) -> None:
        super().ended(job, report)
        self._count += 1
        self._cpu[self._count] = time.process_time() - self._worker.cpu
        if self._count in self._sizes:
            first = max(1, self._count - LAST)
            self.last = (self._cpu[self._count] - self._cpu[first]) / (self._count - first)
            process = psutil.Process()
            memory = process.memory_info().rss / 2**20
            print(
                f"{self._count:6} {self.last * 1e3:16.2f} ms {memory:8.0f} MiB {process.num_fds():13} "
                f"{process.num_threads():8}",
                flush=True,
            )


def command_seconds(name: str, folder: Path) -> float:
    """Return the CPU seconds of `search.NAME` on the run in a folder, start of the process included."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    before = used()
    words = [sys.executable, "-m", f"search.{name}", "--out", str(folder)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return used() - before


def main(
    sizes: Annotated[str, typer.Option(help="Numbers of trials, rising.")] = "500,1000,2000,5000",
    strategy: Annotated[str, typer.Option(help="Strategy; its own time counts.")] = "random",
) -> None:
    """Print CPU time and memory of a search at several numbers of trials, then CPU time of the commands on it."""
    wanted = [int(size) for size in sizes.split(",")]
    print(heading("The controller as trials accumulate, no-op trials, SQLite", strategy=strategy))
    folder = Path(tempfile.mkdtemp()) / "run"
    settings = settings_in(folder, budget=wanted[-1], strategy=strategy)
    worker = TimedWorker()
    try:
        print(f"{'trials':>6} {'CPU per trial':>19} {'memory':>12} {'file handles':>13} {'threads':>8}")
        with (
            open_run(settings, problem_of(settings)) as controller,
            Gauge(controller, wanted[-1], worker, wanted) as gauge,
        ):
            run_here(controller, gauge, worker)
            controller.close()
        print(f"allowed at {wanted[-1]}: {ALLOWED * 1e3:.0f} ms: {'yes' if gauge.last <= ALLOWED else 'NO'}")
        for name, allowed in ALLOWED_COMMANDS.items():
            seconds = command_seconds(name, folder)
            print(f"search.{name}: {seconds:.2f} s CPU, allowed {allowed:g} s: {'yes' if seconds <= allowed else 'NO'}")
    finally:
        shutil.rmtree(folder.parent, ignore_errors=True)


if __name__ == "__main__":
    typer.run(main)
