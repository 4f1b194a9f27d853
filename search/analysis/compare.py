"""Compares two runs of one model and data set: hypervolumes, and accuracies at an equal cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from objectives.intervals import paired_interval
from objectives.latency import PLACE
from search.analysis.summary import limits_of, members_of, point_of, summarize
from search.storage.results import Results, TrialRecord

LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Ratios of the minimized cost at which fronts are compared."""


class ComparisonError(ValueError):
    """Two runs that can't be compared. The message is one line for the user."""


@dataclass(frozen=True)
class AtLevel:
    """The most accurate plan of each of two runs up to a ratio of the minimized cost, chosen on the search split."""

    flops_ratio: float
    trials: tuple[int | None, int | None]
    """Number of the trial in the first and in the second run; None if the run's front has no plan that cheap."""
    accuracies: tuple[float | None, float | None]
    """Accuracies on the test split if `tested` is True, else on the search split."""
    tested: bool
    difference: float | None
    """Accuracy of the second run minus that of the first; None if a run has no plan."""
    interval: tuple[float, float] | None
    """95 % bootstrap interval of the difference, paired by question."""


@dataclass(frozen=True)
class Comparison:
    """Two runs compared; each pair of values is (first run, second run)."""

    names: tuple[str, str]
    trials: tuple[int, int]
    hypervolumes: tuple[float, float]
    """Hypervolumes above the floor, of the trials within each run's limits."""
    levels: tuple[AtLevel, ...]
    cost: str = "FLOPs"
    """Name of the minimized cost."""


def compare(first: Results, second: Results) -> Comparison:
    """Return the comparison of two runs.

    Raises:
        ComparisonError: the runs differ in model, data, metric or minimized cost.
    """
    check_comparable(first, second)
    summaries = [summarize(run) for run in (first, second)]
    fronts = [members_of(run.records(), limits_of(run.run, run.records())) for run in (first, second)]
    levels = [_at_level(level, fronts[0], fronts[1]) for level in LEVELS]
    return Comparison(
        names=_names(first, second),
        trials=(summaries[0]["counts"]["trials"], summaries[1]["counts"]["trials"]),
        hypervolumes=(summaries[0]["hypervolume_above_floor"], summaries[1]["hypervolume_above_floor"]),
        cost=summaries[0]["cost"],
        levels=tuple(level for level in levels if any(trial is not None for trial in level.trials)),
    )


def check_comparable(first: Results, second: Results) -> None:
    """Check that accuracies and costs of two runs can be compared.

    Raises:
        ComparisonError: the runs differ in model, data, metric or minimized cost; the message names the first of these.
    """
    for name, mine, other in _conditions(first, second):
        if mine != other:
            raise ComparisonError(
                f"runs must have the same {name} to be compared, got {str(mine)[:60]!r} in {first.run.name} and "
                f"{str(other)[:60]!r} in {second.run.name}: run both searches with the same {name}"
            )


def _conditions(first: Results, second: Results) -> list[tuple[str, Any, Any]]:
    mine, other = first.run.origin["fingerprints"], second.run.origin["fingerprints"]
    prints = [(name, mine.get(name), other.get(name)) for name in sorted({*mine, *other})]
    names = {"metric": None, "minimize": None, "deploy": "any"}
    costs = [
        (name, first.run.settings.get(name, old), second.run.settings.get(name, old)) for name, old in names.items()
    ]
    places = [
        (f"{name} of the measured times", *(_place(run, name) for run in (first, second)))
        for name in ("workload", *PLACE)
    ]
    return [*prints, *costs, *places]


def _place(run: Results, name: str) -> Any:
    """Return a fact about the measured times of a run by latency; None for a run by another cost."""
    if run.run.settings.get("minimize") != "latency":
        return None
    times = run.run.origin["times"]
    return times["workload"] if name == "workload" else times["origin"].get(name)


def _names(first: Results, second: Results) -> tuple[str, str]:
    """Return the names of the runs, with their ids if the names are equal."""
    if first.run.name != second.run.name:
        return first.run.name, second.run.name
    return f"{first.run.name} ({first.run.uid[:8]})", f"{second.run.name} ({second.run.uid[:8]})"


def _at_level(level: float, first: Sequence[TrialRecord], second: Sequence[TrialRecord]) -> AtLevel:
    best = [_best(level, members) for members in (first, second)]
    scores, tested = _scores(best)
    accuracies = [None if each is None else float(np.mean(each)) for each in scores]
    one, other = scores
    both = one is not None and other is not None and len(one) == len(other)
    return AtLevel(
        flops_ratio=level,
        trials=(_number(best[0]), _number(best[1])),
        accuracies=(accuracies[0], accuracies[1]),
        tested=tested,
        difference=float(np.mean(np.subtract(other, one))) if both else None,  # type: ignore[arg-type]
        interval=paired_interval(other, one) if both else None,  # type: ignore[arg-type]
    )


def _number(record: TrialRecord | None) -> int | None:
    return None if record is None else record.trial.number


def _best(level: float, members: Sequence[TrialRecord]) -> TrialRecord | None:
    cheap = [record for record in members if point_of(record)[1] <= level]
    return max(cheap, key=lambda record: point_of(record)[0], default=None)


def _scores(best: Sequence[TrialRecord | None]) -> tuple[list[list[float] | None], bool]:
    """Return, per plan, its score on each question, and True if the scores are from the test split.

    On the test split, which is used if all plans were tested, scores are means over the seeds of tuning.
    """
    tested = all(record.tests for record in best if record is not None)
    if tested:
        means = [
            None if each is None else np.mean([test.scores for test in each.tests.values()], axis=0).tolist()
            for each in best
        ]
        return means, True
    return [None if each is None else list(each.on("search")[-1].scores) for each in best], False
