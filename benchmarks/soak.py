"""Kills workers, controller and database of a search at random and checks its results: `python -m benchmarks.soak`.

The trials return after a few milliseconds; Ray with two workers (or this process with `--workers 1`), the PostgreSQL
server and the patience of the search are real. Every few seconds one of the workers, the controller or the
server gets a `kill -9`; controller and server are started again. At the end the database must have every trial once,
the front of the stored rungs, and the same results in Optuna's tables.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from benchmarks.origin import heading
from objectives.dominance import non_dominated
from objectives.objectives import MAXIMIZE
from search.analysis.summary import summarize
from search.settings import Settings
from search.storage.results import Results, list_runs
from tests.search.pretend import PretendWorker, problem_of, settings_in
from tests.search.storage.postgres_server import PostgresServer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
VICTIMS = ("worker", "controller", "database")


def settings_of(folder: Path, url: str, trials: int, workers: int) -> Settings:
    """Return the settings of the search.

    Args:
        folder: folder of the run.
        url: database of the run.
        trials: budget.
        workers: number of workers; 1 runs the trials in the controller.
    """
    return settings_in(
        folder, budget=trials, strategy="random", workers=workers, storage=url, final_seeds=1, patience=300
    )


@app.command(hidden=True)
def search(folder: Path, url: str, trials: int, workers: int) -> None:
    """Run the search to its end, in the process that `Soak` starts and kills."""
    from search.dispatch.whole_search import WholeSearch

    settings = settings_of(folder, url, trials, workers)

    def on_ray(controller: Any, progress: Any) -> None:
        from search.dispatch.ray_actor import TrialActor
        from search.dispatch.ray_tune import run_on_ray

        class SoakActor(TrialActor):
            def make_worker(self) -> Any:
                return PretendWorker(0.005)

        run_on_ray(settings, controller, progress, SoakActor)

    def here(controller: Any, progress: Any) -> None:
        from search.dispatch.in_process import run_here

        run_here(controller, progress, PretendWorker(0.005))  # type: ignore[arg-type]

    raise typer.Exit(WholeSearch(settings, problem_of(settings), on_ray if settings.on_ray else here).run())


class Soak:
    """The search process and its database server; kills them and counts the kills."""

    def __init__(self, folder: Path, server: PostgresServer, trials: int, workers: int, seed: int) -> None:
        self._server, self._chance = server, random.Random(seed)
        words = [folder / "run", server.url, trials, workers]
        self._command = [sys.executable, "-m", "benchmarks.soak", "search", *map(str, words)]
        self._lines = (folder / "lines").open("w")
        self._victims = VICTIMS if workers > 1 else VICTIMS[1:]
        self.killed: Counter[str] = Counter()
        self.exits: Counter[int] = Counter()

    def run(self, every: float, deadline: float) -> None:
        """Kill a random part at random times until the search ends by itself.

        Args:
            every: mean seconds between two kills.
            deadline: time after which nothing is killed, in seconds of `time.monotonic`.
        """
        process = self._started()
        while True:
            pause = self._chance.expovariate(1 / every) if time.monotonic() < deadline else 3600.0
            try:
                self.exits[process.wait(timeout=pause)] += 1
                if process.returncode == 0:
                    return
                process = self._started()
            except subprocess.TimeoutExpired:
                self._kill(self._chance.choice(self._victims), process)

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, stdout=self._lines, stderr=subprocess.STDOUT)

    def _kill(self, victim: str, process: subprocess.Popen[bytes]) -> None:
        if victim == "database":
            self._server.kill()
            self._server.start()
        elif victim == "controller":
            process.kill()
        elif workers := _workers_soon(process.pid):
            os.kill(self._chance.choice(workers), signal.SIGKILL)
        else:
            return
        self.killed[victim] += 1


def _workers_soon(controller: int) -> list[int]:
    """Return the worker processes of a controller; while Ray starts there are none, so wait for a minute."""
    end = time.monotonic() + 60
    while not (found := list(_workers(controller))) and time.monotonic() < end and psutil.pid_exists(controller):
        time.sleep(0.2)
    return found


def _workers(controller: int) -> Iterator[int]:
    try:
        for process in psutil.Process(controller).children(recursive=True):
            if "SoakActor" in " ".join(process.cmdline()):
                yield process.pid
    except psutil.NoSuchProcess:
        return


def faults(url: str, trials: int) -> list[str]:
    """Check the database of a search that has ended and return one line per fault.

    Args:
        url: the database.
        trials: number of trials that it must have.
    """
    engine_results = Results.open(url)
    (run,) = list_runs(engine_results.engine)
    records, found = engine_results.records(), []
    numbers = [record.trial.number for record in records]
    plans = Counter(record.trial.digest for record in records)
    if numbers != list(range(trials)):
        found.append(f"{trials} trials must be there, numbered from 0, got {len(numbers)}")
    if double := [plan for plan, count in plans.items() if count > 1]:
        found.append(f"{len(double)} plans were tried twice")
    if unfinished := [r.trial.number for r in records if r.trial.state not in ("complete", "stopped")]:
        found.append(f"trials {unfinished} are not complete or stopped")
    if run.finished is None:
        found.append("the run is not marked as finished")
    shown = {trial["number"] for trial in summarize(engine_results)["front"]}
    full = [record for record in records if record.trial.state == "complete"]
    points = [(record.on("search")[-1].accuracy, record.on("search")[-1].flops_ratio) for record in full]
    kept = non_dominated(points, MAXIMIZE)
    replayed = {point: r.trial.number for point, r, keep in zip(points, full, kept, strict=True) if keep}
    if {points[[r.trial.number for r in full].index(number)] for number in shown} != set(replayed):
        found.append("the front differs from that of the stored rungs")
    found += _study_faults(url, run.study, records)
    engine_results.close()
    return found


def _study_faults(url: str, name: str, records: Any) -> list[str]:
    """Return where Optuna's rows, read by Optuna, differ from the results tables."""
    import optuna

    states = {"COMPLETE": "complete", "PRUNED": "stopped", "FAIL": "failed", "RUNNING": "running"}
    rows = optuna.load_study(study_name=name, storage=url).trials
    mine = [(record.trial.number, record.trial.plan, record.trial.state) for record in records]
    theirs = [(row.number, row.user_attrs["plan"], states[row.state.name]) for row in rows]
    return [] if mine == theirs else ["study and results tables differ"]


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    trials: Annotated[int, typer.Option(help="Number of trials.")] = 2000,
    workers: Annotated[int, typer.Option(help="Workers; 1 runs the trials in the controller.")] = 2,
    every: Annotated[float, typer.Option(help="Mean seconds between two kills.")] = 10.0,
    minutes: Annotated[float, typer.Option(help="Minutes after which nothing is killed any more.")] = 12.0,
    seed: Annotated[int, typer.Option(help="Seed of the kills.")] = 0,
) -> None:
    """Run the search, and print the number of kills of each part and the faults of the database."""
    if context.invoked_subcommand is not None:
        return
    print(heading("Soak", trials=trials, workers=workers, every=every, minutes=minutes, seed=seed), flush=True)
    folder, begin = Path(tempfile.mkdtemp()), time.monotonic()
    with PostgresServer(fsync=True) as server:
        soak = Soak(folder, server, trials, workers, seed)
        soak.run(every, begin + 60 * minutes)
        found = faults(server.url, trials)
    print(f"{(time.monotonic() - begin) / 60:.1f} minutes; killed: {dict(soak.killed)}; exit codes: {dict(soak.exits)}")
    print(
        json.dumps(found) if found else f"{trials} of {trials} trials, none lost, none twice; the front is the replay's"
    )
    shutil.rmtree(folder)
    raise typer.Exit(bool(found))


if __name__ == "__main__":
    app()
