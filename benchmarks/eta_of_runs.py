"""Compares the predicted time of a search with the true one: `python -m benchmarks.eta_of_runs RUN ...`.

The search is replayed from the seconds that a run has stored. Every rung and test takes its stored seconds, the rest of
a trial's time on the clock is the controller's.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import typer

from search.analysis import eta
from search.analysis.eta import Pace
from search.storage.find_run import open_results
from search.storage.results import Results, TrialRecord
from search.storage.timings import timing_of

SHOWN = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
"""Parts of the budget at which the prediction is printed; the first is after the dense trial."""


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def predictions(results: Results, clock: Clock) -> Iterator[tuple[int, float]]:
    """Yield (number of ended trials, predicted time of the end) after every trial."""
    settings, records = results.run.settings, [r for r in results.records() if r.trial.finished]
    rows = results.run.origin["data"]["rows"].get("test")
    pace = Pace(len(settings["rungs"]), settings["keep_fraction"], rows)
    baselines = [record.trial.origin.startswith("baseline") for record in records]
    points: list[tuple[float, float]] = []
    for place, record in enumerate(records):
        pace.started(place)
        for rung in record.on("search"):
            clock.now += sum(rung.metrics["seconds"].values())
            pace.rung(timing_of(rung))
        pace.ended(place)
        if rungs := record.on("search"):
            pace.trial(rungs[-1].flops_ratio, len(rungs), baselines[place])
        points = _front(points, record)
        left, budget = sum(baselines[place + 1 :]), len(records)
        tests = pace.expected_tests(budget, place + 1, len(points), settings["final_seeds"])
        predicted = pace.trials_left(left, budget - place - 1 - left) + pace.tests_left(*tests)
        yield place + 1, clock.now + predicted
    clock.now += sum(sum(test.metrics["seconds"].values()) for record in records for test in record.on("test"))


def _front(points: list[tuple[float, float]], record: TrialRecord) -> list[tuple[float, float]]:
    if not record.is_complete:
        return points
    last = record.on("search")[-1]
    mine = last.flops_ratio, last.accuracy
    if any(ratio <= mine[0] and accuracy >= mine[1] for ratio, accuracy in points):
        return points
    return [point for point in points if point[0] < mine[0] or point[1] > mine[1]] + [mine]


def main(runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.")]) -> None:
    """Print the predicted time left over the true one, at several parts of the budget."""
    for folder in runs:
        clock = Clock()
        with patch.object(eta, "time", clock):
            found = [(ended, end, clock.now) for ended, end in predictions(open_results(folder, None), clock)]
        budget, truth = len(found), clock.now
        marks = [found[max(0, round(part * budget) - 1)] for part in SHOWN]
        shown = "  ".join(f"{ended}/{budget}: {(end - now) / (truth - now):.2f}" for ended, end, now in marks)
        print(f"{folder.name}: {truth:.0f} s; predicted over true time left: {shown}")


if __name__ == "__main__":
    typer.run(main)
