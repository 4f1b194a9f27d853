"""The default strategy against random search and the hand-made patterns: `python -m benchmarks.default_strategy`.

Every search runs on the embedded model with the real controller and database; trials have one rung without tuning,
so that the strategies alone make the difference. A plan that several searches try is evaluated once.
"""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.origin import heading
from objectives.hypervolume import hypervolume
from search.goals import MAXIMIZE, REFERENCE
from search.local import run_here
from search.open_folder import open_results
from search.problem import Problem
from search.progress import Progress
from search.settings import Settings, load_settings
from search.start import open_run
from search.summary import summarize
from spaces.patterns import baselines
from workers.requests import RungReport, TrialRequest
from workers.trial import Worker


class RememberingWorker(Worker):
    """Gives the report of a plan it has evaluated before: evaluation is deterministic."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[str, str], RungReport] = {}

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        (rung,) = request.rungs
        key = (request.parsed_plan.digest, rung.split)
        if key not in self._known:
            self._known[key] = next(super().rungs(request))
        yield self._known[key]


def search(settings: Settings, worker: Worker) -> float:
    """Hypervolume of a search run to its end."""
    problem = Problem.resolve(settings)
    with open_run(settings, problem) as controller:
        with Progress(controller, settings.budget, Console(quiet=True)) as progress:
            run_here(controller, progress, worker)
        controller.close()
    results = open_results(settings.run_folder, None)
    try:
        return float(summarize(results)["hypervolume"])
    finally:
        results.close()


def hand_made(settings: Settings, worker: Worker) -> tuple[float, int]:
    """Hypervolume of all hand-made patterns together, whatever they cost, and how many there are."""
    problem = Problem.resolve(settings)
    points = []
    for plan in baselines(problem.space).values():
        report = next(iter(worker.rungs(problem.request(None, plan))))
        points.append((report.accuracy, problem.costs(plan).flops_ratio))
    return hypervolume(points, REFERENCE, MAXIMIZE), len(points)


def main(
    budget: Annotated[int, typer.Option(help="Trials of each search.")] = 200,
    seeds: Annotated[int, typer.Option(help="Searches per strategy.")] = 5,
    space: Annotated[str, typer.Option(help="The space searched.")] = "layers",
    questions: Annotated[int, typer.Option(help="Questions of the search split a trial answers.")] = 256,
    strategies: Annotated[str, typer.Option(help="Names, separated by commas.")] = "random,tpe,evolution,guided",
) -> None:
    """Print hypervolume per strategy and seed."""
    print(heading("Default strategy", budget=budget, seeds=seeds, space=space, questions=questions))
    worker, folder = RememberingWorker(), Path(tempfile.mkdtemp())
    given = {"space": space, "budget": budget, "rungs": [{"questions": questions}], "threads": 1}
    volume, count = hand_made(load_settings(None, given), worker)
    print(f"{'hand-made':10} {volume:.4f}  ({count} patterns together)")
    for strategy in strategies.split(","):
        volumes = []
        for seed in range(seeds):
            out = folder / f"{strategy}-{seed}"
            volumes.append(
                search(load_settings(None, {**given, "strategy": strategy, "seed": seed, "out": out}), worker)
            )
        each = " ".join(f"{value:.4f}" for value in volumes)
        print(f"{strategy:10} {statistics.median(volumes):.4f}  ({each})", flush=True)


if __name__ == "__main__":
    typer.run(main)
