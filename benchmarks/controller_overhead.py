"""Time per trial that is not spent in the model: `python -m benchmarks.controller_overhead`.

Runs whole searches with a worker that returns fixed reports immediately, and with the real study, database and
dispatch. The remaining time is the overhead.
"""

import shutil
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.origin import heading
from search.console.progress import Progress
from search.dispatch.in_process import run_here
from search.loop.open_run import open_run
from tests.search.pretend import PretendWorker, problem_of, settings_in

#: Largest overhead in seconds per trial, from the issue tracker.
ALLOWED = {"in this process": 0.020, "Ray Tune, 2 workers": 0.2}


def seconds_per_trial(budget: int, workers: int, strategy: str) -> tuple[float, float]:
    """Run a search and return the seconds between the ends of consecutive trials.

    Args:
        budget: number of trials.
        workers: number of workers; more than 1: on Ray.
        strategy: its name.

    Returns:
        The mean over the search, and the median over its last tenth.
    """
    folder = Path(tempfile.mkdtemp())
    settings = settings_in(folder / "run", budget=budget, strategy=strategy, workers=workers)
    ends: list[float] = []
    try:
        with open_run(settings, problem_of(settings)) as controller, _Stopwatch(controller, budget, ends) as progress:
            if workers > 1:
                _run_on_ray(settings, controller, progress)
            else:
                run_here(controller, progress, PretendWorker())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    gaps = [later - earlier for earlier, later in pairwise(ends)][: budget - 1]
    return statistics.fmean(gaps), statistics.median(gaps[-max(1, budget // 10) :])


class _Stopwatch(Progress):
    """Records the time at the end of every job."""

    def __init__(self, controller: Any, budget: int, ends: list[float]) -> None:
        super().__init__(controller, budget, Console(quiet=True))
        self._ends = ends

    def ended(self, job: Any, report: Any) -> None:
        super().ended(job, report)
        self._ends.append(time.perf_counter())


def _run_on_ray(settings: Any, controller: Any, progress: Progress) -> None:
    from search.dispatch.ray_actor import TrialActor
    from search.dispatch.ray_tune import run_on_ray

    class PretendActor(TrialActor):
        def make_worker(self) -> Any:
            return PretendWorker()

    run_on_ray(settings, controller, progress, PretendActor)


def main(
    trials: Annotated[int, typer.Option(help="Trials of a search in this process.")] = 1000,
    ray_trials: Annotated[int, typer.Option(help="Trials of a search on Ray; 0 skips it.")] = 100,
) -> None:
    """Print the overhead per trial, and whether it is within the limit."""
    print(heading("Controller overhead, no-op trials, SQLite", trials=trials, ray_trials=ray_trials))
    print(f"{'dispatch':22} {'strategy':10} {'trials':>6} {'mean':>9} {'at the end':>10}  allowed")
    cases = [("in this process", 1, "random", trials), ("in this process", 1, "guided", trials)]
    if ray_trials:
        cases.append(("Ray Tune, 2 workers", 2, "random", ray_trials))
    for name, workers, strategy, budget in cases:
        mean, last = seconds_per_trial(budget, workers, strategy)
        verdict = "yes" if mean <= ALLOWED[name] else "NO"
        print(
            f"{name:22} {strategy:10} {budget:6} {mean * 1e3:6.1f} ms {last * 1e3:7.1f} ms  "
            f"{verdict}, {ALLOWED[name] * 1e3:.0f} ms",
            flush=True,
        )


if __name__ == "__main__":
    typer.run(main)
