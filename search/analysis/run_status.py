"""The state of a run as plain data: trials by state, failures by reason, rate, time left, workers, best points."""

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from objectives.front import FrontLimits, distinct, front, within
from objectives.hypervolume import hypervolume
from objectives.objectives import MAXIMIZE, REFERENCE
from search.analysis.eta import DISTINCT, Pace
from search.storage.overview import has_mapping_module, measured_rows, rung_rows, scores_of, trial_rows, worker_rows
from search.storage.results import Results
from search.storage.tables import now
from search.storage.timings import timing_of
from spaces.plan import Plan

RECENT = 200
"""Number of ended trials that rate and time left are computed from."""
KEPT = (0.99, 0.97, 0.95, 0.9)
"""Shares of the dense accuracy, for each of which the cheapest plan is named."""
LONGEST_GAP = 3
"""Longest time between two trials that counts, in lengths of the longest trial: between them the search was stopped."""


def run_status(results: Results, is_running: bool) -> dict[str, Any]:
    """Return the state of a run as JSON values.

    Args:
        results: results of the run.
        is_running: True if a controller holds the lease on the run.
    """
    trials, rungs = trial_rows(results), rung_rows(results)
    settings, counts = results.run.settings, Counter(trial.state for trial in trials)
    ended = [trial for trial in trials if trial.state != "running"]
    found = _found(trials, rungs, FrontLimits.of(settings, results.run.origin, _floor(results, trials)))
    recent = sorted((trial for trial in ended if trial.finished), key=lambda trial: trial.finished)[-RECENT:]
    busy, clock = _spans(recent)
    tests = _tests(results, found, rungs) if len(ended) >= settings["budget"] else None
    left = None if results.run.finished else _left(results, ended, recent, found, tests, busy / clock if clock else 0)
    return {
        "run": results.run.name,
        "phase": _phase(results, is_running, tests),
        "budget": settings["budget"],
        "ended": len(ended),
        "counts": dict(counts),
        "tests": tests and {"ended": tests["ended"], "total": tests["total"]},
        "failures": _failures(trials),
        "trials_per_minute": 60 * len(recent) / clock if clock else None,
        "eta_seconds": left,
        "workers": _workers(results, settings, trials, recent),
        "running": [_running(trial) for trial in trials if trial.state == "running"],
        **{name: found[name] for name in ("hypervolume", "floor", "cost", "front", "best")},
        "events": [_event(event) for event in results.events(limit=10)],
    }


def _phase(results: Results, is_running: bool, tests: Mapping[str, Any] | None) -> str:
    if results.run.finished:
        return "finished"
    if not is_running:
        return "stopped: run the same `search.run` command again to resume"
    return "searching" if tests is None else "testing the front"


def _failures(trials: Sequence[Any]) -> list[dict[str, Any]]:
    """Return reason, count and last trial per kind of failure, the most frequent first; numbers don't tell kinds."""
    kinds: dict[str, list[Any]] = {}
    for trial in trials:
        if trial.state == "failed":
            kinds.setdefault(re.sub(r"\d+", "#", trial.reason or "unknown"), []).append(trial)
    rows = [{"reason": each[-1].reason, "count": len(each), "last_trial": each[-1].number} for each in kinds.values()]
    return sorted(rows, key=lambda row: -row["count"])


def _floor(results: Results, trials: Sequence[Any]) -> float | None:
    dense = [trial.number for trial in trials if set(trial.plan) == {"."}]
    for row in measured_rows(results, dense):
        if row.split == "search" and (floor := row.metrics.get("floor")) is not None:
            return max(float(value) for value in (floor["constant"], floor["other_images"]) if value is not None)
    return None


def _found(trials: Sequence[Any], rungs: Sequence[Any], limits: FrontLimits) -> dict[str, Any]:
    """Return front, hypervolume, floor, and the cheapest plan per share of the dense accuracy."""
    last = {rung.number: rung for rung in rungs if rung.split == "search"}
    complete = [(trial, last[trial.number]) for trial in trials if trial.state == "complete" and trial.number in last]
    points = [_point(each) for each in within(complete, _point, limits)]
    dense = next((rung.accuracy for trial, rung in complete if Plan.parse(trial.plan).is_dense), None)
    members = [
        {"number": trial.number, "plan": trial.plan, "accuracy": rung.accuracy, "flops_ratio": rung.flops_ratio,
         "retention": rung.accuracy / dense if dense else None}
        for trial, rung in front(complete, _point, limits)
    ]  # fmt: skip
    keeping = [[each for each in members if dense and each["retention"] >= share] for share in KEPT]
    best = {each["number"]: each for each in (kept[0] for kept in keeping if kept)}
    volume = hypervolume(points, (limits.floor or REFERENCE[0], REFERENCE[1]), MAXIMIZE)
    return {
        "front": members,
        "hypervolume": volume,
        "floor": limits.floor,
        "cost": limits.cost,
        "best": list(best.values()),
    }


def _point(found: tuple[Any, Any]) -> tuple[float, float]:
    return found[1].accuracy, found[1].flops_ratio


def _spans(recent: Sequence[Any]) -> tuple[float, float]:
    """Return the seconds of the workers and on the clock in which recent trials ran, without times of standstill."""
    if not recent:
        return 0.0, 0.0
    lengths = [_seconds(trial.started, trial.finished) for trial in recent]
    gaps = [_seconds(before.finished, after.finished) for before, after in itertools.pairwise(recent)]
    longest = LONGEST_GAP * max(lengths)
    return sum(lengths), lengths[0] + sum(min(gap, longest) for gap in gaps)


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())


def _tests(results: Results, found: Mapping[str, Any], rungs: Sequence[Any]) -> dict[str, Any]:
    """Return how many final tests there are and have ended, and the FLOPs ratios of those that are left."""
    settings = results.run.settings
    seeds = range(settings["seed"], settings["seed"] + _num_seeds(settings))
    done = {(rung.number, rung.seed) for rung in rungs if rung.split == "test"}
    members = {each["number"]: each for each in found["front"]}
    again = _tuned_again(results, members)
    wanted = [
        (number, seed, each["flops_ratio"])
        for number, each in members.items()
        for seed in seeds
        if seed == seeds[0] or number in again
    ]
    left = [(seed, ratio) for number, seed, ratio in wanted if (number, seed) not in done]
    return {
        "ended": len(wanted) - len(left),
        "total": len(wanted),
        "stored": [ratio for seed, ratio in left if seed == seeds[0]],
        "tuned": [ratio for seed, ratio in left if seed != seeds[0]],
    }


def _tuned_again(results: Results, members: Mapping[int, Mapping[str, Any]]) -> set[int]:
    """Return the members of the front that are tested with more than one seed, as `search.loop.final_front` does."""
    chosen = list(members)
    if results.run.settings.get("final_plans", "all") == "distinct":
        chosen = distinct(chosen, scores_of(results, chosen).__getitem__)
    plans = {number: Plan.parse(members[number]["plan"]) for number in chosen}
    return {number for number, plan in plans.items() if not plan.is_dense or has_mapping_module(results, number)}


def _num_seeds(settings: Mapping[str, Any]) -> int:
    return int(settings["final_seeds"]) if settings["rungs"][-1]["tuning_steps"] else 1


def _left(
    results: Results, ended: Sequence[Any], recent: Sequence[Any], found: Mapping[str, Any],
    tests: Mapping[str, Any] | None, at_once: float,
) -> float | None:  # fmt: skip
    """Return the predicted seconds until the end, final tests included; None where they are not known."""
    settings = results.run.settings
    rows = results.run.origin.get("data", {}).get("rows", {}).get("test")
    pace = Pace(len(settings["rungs"]), settings["keep_fraction"], rows, max(at_once, 1e-3))
    measured = measured_rows(results, [trial.number for trial in (*ended[:1], *recent)])
    for row in measured:
        pace.rung(timing_of(row))
    for trial in recent:
        mine = [row for row in measured if row.number == trial.number and row.split == "search"]
        if mine:
            pace.trial(mine[-1].flops_ratio, mine[-1].rung + 1, trial.origin.startswith("baseline"))
    if not pace.is_known or not at_once:
        return None
    if tests is not None:
        return pace.tests_left(tests["stored"], tests["tuned"])
    budget, size = settings["budget"], len(found["front"])
    share = DISTINCT if settings.get("final_plans", "all") == "distinct" else 1.0
    expected = pace.expected_tests(budget, len(ended), size, _num_seeds(settings), share)
    return pace.trials_left(0, budget - len(ended)) + pace.tests_left(*expected)


def _workers(
    results: Results, settings: Mapping[str, Any], trials: Sequence[Any], recent: Sequence[Any]
) -> dict[str, Any]:
    """Return the number of workers, how many have a trial, and the devices of the last trials."""
    number = settings["workers"] or 1
    rows = worker_rows(results, [trial.number for trial in recent[-2 * number :]])
    devices = Counter(str(row.worker["device"]) for row in rows if row.worker and row.worker.get("device"))
    busy = sum(trial.state == "running" for trial in trials)
    return {"number": number, "busy": busy, "devices": sorted(devices)}


def _running(trial: Any) -> dict[str, Any]:
    seconds = _seconds(trial.started, now())
    return {"number": trial.number, "attempt": trial.attempt, "plan": trial.plan, "seconds": seconds}


def _event(event: Any) -> dict[str, Any]:
    return {
        "time": f"{event.time:%Y-%m-%d %H:%M:%S}",
        "kind": event.kind,
        "trial": event.trial_number,
        "message": event.message,
    }
