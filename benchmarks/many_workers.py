"""Utilization of many simulated workers: `python -m benchmarks.many_workers`.

The controller and its PostgreSQL server are real; the workers are simulated: a trial of one rung ends after a given
time, and its worker waits until the controller has stored it and started the next one. All workers start at once.
"""

import heapq
import random
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console

from benchmarks.origin import heading
from search.console.progress import Progress
from search.loop.controller import Controller
from search.loop.job import Job
from search.loop.open_run import open_run
from tests.search.pretend import problem_of, report_of, settings_in
from tests.search.storage.postgres_server import PostgresServer
from workers.reports import TrialReport, TrialState
from workers.requests import Rung

ALLOWED = 0.95
"""Smallest utilization: busy worker-seconds over all worker-seconds, from the issue tracker."""
JITTER = 0.1
"""Largest deviation of a trial's duration from the given one, relative to it."""


@dataclass(order=True)
class Running:
    """A simulated worker with its job."""

    end: float
    """Time at which the trial ends, in seconds of `time.monotonic`."""
    number: int
    job: Job
    started: float


def finish(controller: Controller, progress: Progress, job: Job) -> None:
    """Report to the controller that a job has finished its only rung and is complete."""
    plan = job.request.plan
    rung = report_of(plan, 0, job.request.rungs[0])
    controller.rung(job, rung)
    state = TrialState.COMPLETE
    report = TrialReport(
        number=job.number, plan=str(plan), digest=plan.digest, state=state, reason=None, rungs=(rung,), origin={}
    )
    controller.done(job, report)
    progress.ended(job, report)


def keep_busy(controller: Controller, progress: Progress, workers: int, seconds: float, minutes: float) -> list[float]:
    """Run jobs on simulated workers and return the busy worker-seconds of every minute.

    Args:
        controller: proposes and stores the trials.
        progress: displays them.
        workers: number of workers.
        seconds: mean duration of a trial.
        minutes: duration of the measurement.
    """
    chance = random.Random(0)
    busy = [0.0] * (int(minutes) + 1)
    running: list[Running] = []
    idle = list(range(workers))
    begin = time.monotonic()
    while (now := time.monotonic()) < begin + 60 * minutes:
        if running and running[0].end <= now:
            done = heapq.heappop(running)
            _add(busy, done.started - begin, done.end - begin)
            finish(controller, progress, done.job)
            idle.append(done.number)
        if idle and (job := controller.next()) is not None:
            progress.started(job)
            started = time.monotonic()
            end = started + seconds * chance.uniform(1 - JITTER, 1 + JITTER)
            heapq.heappush(running, Running(end, idle.pop(), job, started))
        elif not running or running[0].end > now:
            time.sleep(0.001)
    for left in running:
        _add(busy, left.started - begin, min(left.end, now) - begin)
    return busy[: int(minutes)]


def _add(busy: list[float], start: float, end: float) -> None:
    """Add the seconds between two times, relative to the start, to the minutes in which they lie."""
    while start < end:
        minute = int(start // 60)
        until = min(end, 60.0 * (minute + 1))
        if minute < len(busy):
            busy[minute] += until - start
        start = until


def main(
    workers: Annotated[int, typer.Option(help="Number of simulated workers.")] = 1000,
    seconds: Annotated[float, typer.Option(help="Seconds of a trial.")] = 60.0,
    minutes: Annotated[int, typer.Option(help="Minutes on the clock.")] = 6,
    strategy: Annotated[str, typer.Option(help="Strategy; its own time counts.")] = "random",
) -> None:
    """Print the utilization of the workers in every minute, and CPU time and memory of controller and server."""
    print(heading("Many simulated workers, PostgreSQL", workers=workers, seconds=seconds, strategy=strategy))
    folder = Path(tempfile.mkdtemp())
    try:
        with PostgresServer(fsync=True) as server:
            settings = settings_in(
                folder / "run", budget=10**6, strategy=strategy, space="layers", storage=server.url,
                rungs=(Rung(questions=256),),
            )  # fmt: skip
            with (
                open_run(settings, problem_of(settings)) as controller,
                Progress(controller, settings.budget, Console(file=(folder / "lines").open("w"))) as progress,
            ):
                before, process = time.process_time(), psutil.Process()
                busy = keep_busy(controller, progress, workers, seconds, minutes)
                cpu, ended = time.process_time() - before, controller.history.num_ended
            server_cpu = _server_cpu(server)
        for minute, used in enumerate(busy):
            print(f"minute {minute + 1}: busy {used / (60 * workers):.1%}")
        steady = sum(busy[1:]) / (60 * workers * max(1, len(busy) - 1))
        print(f"after the first minute: {steady:.1%}, allowed {ALLOWED:.0%}: {'yes' if steady >= ALLOWED else 'NO'}")
        print(f"{ended} trials ended; controller: {cpu:.1f} s CPU in {minutes} minutes, {cpu / ended * 1e3:.1f} ms per")
        print(f"trial, {process.memory_info().rss / 2**20:.0f} MiB; server: {server_cpu:.1f} s CPU")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _server_cpu(server: PostgresServer) -> float:
    """Return the CPU seconds of the server and of the connections that it has closed."""
    assert server.pid is not None
    times = psutil.Process(server.pid).cpu_times()
    running = [child.cpu_times() for child in psutil.Process(server.pid).children()]
    own = times.user + times.system + times.children_user + times.children_system
    return float(own + sum(child.user + child.system for child in running))


if __name__ == "__main__":
    typer.run(main)
