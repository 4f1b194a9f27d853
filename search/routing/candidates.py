"""Reads the plans among which a router chooses: the front of a finished search, with scores and mapping modules."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search.analysis.export_request import trial_request
from search.analysis.select_trials import Selected
from search.analysis.summary import dense_of, floor_of, limits_of, members_of
from search.storage.results import Results, TrialRecord
from workers.requests import TrialRequest

Scores = tuple[float, ...]


class RoutingError(ValueError):
    """A run has nothing to route between. The message is one line for the user."""


@dataclass(frozen=True)
class Candidate:
    """A plan of the front."""

    number: int
    """Number of its trial."""
    request: TrialRequest
    """Request that answers a split with the plan and the mapping module of the search."""
    search: Scores
    """Score per question of the search split."""
    test: Scores | None
    """Score per question of the test split with the stored mapping module; None if the search did not test it."""


@dataclass(frozen=True)
class Candidates:
    """The front of a run, cheapest first, and what it is compared with."""

    plans: tuple[Candidate, ...]
    dense: Candidate
    floor: float
    """Accuracy reached without looking at the images; 0 if it was not measured."""


def read_candidates(results: Results, out: Path) -> Candidates:
    """Return the plans of the front of a run.

    Args:
        results: results of the run.
        out: folder of the run.

    Raises:
        RoutingError: the front has fewer than two plans, the dense model has no complete trial, or the search minimized
            another cost than FLOPs.
    """
    records, settings = results.records(), results.run.settings
    if settings["minimize"] != "flops":
        raise RoutingError(
            f"a router needs a search that minimized flops, got {settings['minimize']}: search with --minimize flops"
        )
    members = _distinct(members_of(records, limits_of(results.run, records)))
    if len(members) < 2:
        raise RoutingError(
            f"a router needs a front with at least 2 plans, got {len(members)}: continue the search with a larger "
            "--budget"
        )
    if (dense := dense_of(records)) is None:
        raise RoutingError(
            "a router is compared with the dense model, got a run without its trial: continue the search"
        )
    floor = floor_of(records)
    return Candidates(
        plans=tuple(_candidate(results, record, out) for record in members),
        dense=_candidate(results, dense, out),
        floor=0.0 if floor is None else floor.accuracy,
    )


def _distinct(members: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return one trial per point of the front, the first one."""
    points = {(each.on("search")[-1].accuracy, each.on("search")[-1].flops_ratio): each for each in reversed(members)}
    return [each for each in members if each in points.values()]


def _candidate(results: Results, record: TrialRecord, out: Path) -> Candidate:
    test = record.tests.get(record.seed)
    return Candidate(
        number=record.trial.number,
        request=trial_request(results, Selected(record.plan, record, "one of the front"), out),
        search=tuple(record.on("search")[-1].scores),
        test=None if test is None else tuple(test.scores),
    )
