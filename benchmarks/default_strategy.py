"""The default strategy compared with random search and the hand-made patterns: `python -m benchmarks.default_strategy`.

Every search runs on the embedded model with the real controller and database. A plan that several searches try is run
once. By default, trials have one rung without tuning. `--rungs 0:256,10:512,50:all` gives the rungs of `make search`;
with `--keep-fraction 1` also, no trial is stopped.
"""

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks.origin import heading
from benchmarks.strategies.compute import spent, work
from benchmarks.strategies.replay import KEEP
from objectives.hypervolume import hypervolume
from objectives.objectives import MAXIMIZE, REFERENCE
from search.console.progress import Progress
from search.dispatch.in_process import run_here
from search.load_settings import load_settings
from search.loop.history import History
from search.loop.open_run import open_run
from search.loop.problem import Problem
from search.settings import Settings, SettingsError, parse_rungs
from spaces.patterns import baselines
from workers.data.load_split import load_split
from workers.reports import RungReport
from workers.requests import TrialRequest
from workers.trial import Worker

AFTER = (25, 50, 70, 100, 150)
"""Numbers of trials after which the hypervolume of a search is measured."""


class RememberingWorker(Worker):
    """A worker that returns stored reports for the rungs it has run before.

    It tunes with seed 0, not with the seed of the search, and always measures margins, so that searches of all seeds
    and strategies share their trials.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[str, int | None], list[RungReport]] = {}

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        first, *others = request.rungs
        gates = request.seed if first.importance else None  # the seed of the search draws the gates, if measured
        rungs = (first.model_copy(update={"margins": True}), *others)
        known = self._known.setdefault((request.plan.digest, gates), [])
        yield from known[request.first_rung :]
        if (missing := len(known)) < len(rungs):
            update = {"rungs": rungs, "seed": gates or 0, "first_rung": missing}
            for report in super().rungs(request.model_copy(update=update)):
                known.append(report)
                yield report


@dataclass(frozen=True)
class Found:
    """The result of a search."""

    volumes: tuple[float, ...]
    """Hypervolumes after each of the `AFTER` trials that were run, and at the end."""
    computes: tuple[float, ...]
    """Compute up to each of these points; the unit is a trial of the dense plan on all rungs, accuracy only."""
    full: int
    """Number of trials that finished the last rung."""

    def __str__(self) -> str:
        each = (f"{volume:.4f} ({compute:.1f})" for volume, compute in zip(self.volumes, self.computes, strict=True))
        return f"{' '.join(each)}, {self.full} trials in full"


def search(settings: Settings, worker: Worker) -> Found:
    """Run a search to its end and return its result."""
    problem = Problem.resolve(settings)
    with open_run(settings, problem) as controller:
        with Progress(controller, settings.budget, Console(quiet=True)) as progress:
            run_here(controller, progress, worker)
        full = [trial for trial in controller.history.observations() if trial.full]
        costs = np.cumsum(computes(settings, controller.history))
        controller.close()
    volumes, ends = [], [*(after for after in AFTER if after < len(costs)), len(costs)]
    for after in ends:
        points = [trial.point for trial in full if trial.number < after]
        volumes.append(hypervolume(np.array(points), REFERENCE, MAXIMIZE) if points else 0.0)
    return Found(tuple(volumes), tuple(costs[np.array(ends) - 1].tolist()), len(full))


def computes(settings: Settings, history: History) -> np.ndarray:
    """Return the compute of every trial, (trials,); the unit is a trial of the dense plan on all rungs."""
    every = len(load_split(settings.dataset, "search").samples)
    rungs = [rung.model_copy(update={"questions": min(rung.questions or every, every)}) for rung in settings.rungs]
    records = [history.record(number) for number in range(len(history))]
    went_on_from = [history.first_rung(record.number) for record in records]
    reached = [len(record.accuracies) for record in records]
    flops = np.array([record.flops_ratio for record in records])
    return spent(settings.strategy, rungs, went_on_from, reached, flops) / work(rungs).sum()


def hand_made(settings: Settings, worker: Worker) -> tuple[float, int]:
    """Return the hypervolume of all hand-made patterns together, and their number."""
    problem = Problem.resolve(settings)
    points = []
    for plan in baselines(problem.space).values():
        *_, report = worker.rungs(problem.request(None, plan))
        points.append((report.accuracy, problem.costs(plan).flops_ratio))
    return hypervolume(points, REFERENCE, MAXIMIZE), len(points)


def settings_of(given: dict[str, Any], strategies: Sequence[str], seeds: int) -> dict[str, list[Settings]]:
    """Return strategy -> settings of its searches, one per seed.

    Args:
        given: settings that all searches share.
        strategies: names.
        seeds: number of searches per strategy.

    Raises:
        SettingsError: a setting is invalid.
    """
    folder = Path(tempfile.mkdtemp())
    return {
        strategy: [
            load_settings(
                None,
                {"workers": 1, **given, "strategy": strategy, "seed": seed, "out": folder / f"{strategy}-{seed}"},
            )
            for seed in range(seeds)
        ]
        for strategy in strategies
    }


def main(
    budget: Annotated[int, typer.Option(help="Trials of each search.")] = 200,
    seeds: Annotated[int, typer.Option(min=1, help="Searches per strategy.")] = 5,
    space: Annotated[str, typer.Option(help="The space to search.")] = "layers",
    rungs: Annotated[str, typer.Option(help="STEPS:QUESTIONS per rung, separated by commas.")] = "0:256",
    strategies: Annotated[str, typer.Option(help="Names, separated by commas.")] = "random,tpe,evolution,guided",
    keep_fraction: Annotated[
        float, typer.Option(help="Share of the trials at a rung that are promoted; 1: all.")
    ] = KEEP,
) -> None:
    """Print hypervolume and compute per strategy and seed, after 25, 50, 70, 100 and 150 trials and at the end.

    The unit of compute is a trial of the dense plan on all rungs.
    """
    try:
        given = {
            "space": space,
            "budget": budget,
            "rungs": parse_rungs(rungs),
            "keep_fraction": keep_fraction,
            "threads": 1,
        }
        patterns, searches = load_settings(None, given), settings_of(given, strategies.split(","), seeds)
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from None
    print(
        heading("Default strategy", budget=budget, seeds=seeds, space=space, rungs=rungs, keep=round(keep_fraction, 3))
    )
    worker = RememberingWorker()
    volume, count = hand_made(patterns, worker)
    print(f"{'hand-made':10} {volume:.4f}  ({count} patterns together)")
    for strategy, own in searches.items():
        ends = []
        for settings in own:
            found = search(settings, worker)
            print(f"{strategy:10} seed {settings.seed}: {found}", flush=True)
            ends.append(found.volumes[-1])
        print(f"{strategy:10} {statistics.median(ends):.4f}  (median)", flush=True)


if __name__ == "__main__":
    typer.run(main)
