"""Summarizes the results of a run as plain data, from the results tables alone, without torch or Optuna."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from objectives.front import FrontLimits, Point, front, within
from objectives.hypervolume import hypervolume
from objectives.objectives import MAXIMIZE, OBJECTIVES, REFERENCE
from search.analysis.rank_flips import rank_flips
from search.analysis.scores_on_test import describe_test
from search.analysis.signals import signals_had
from search.storage.results import Results, TrialRecord
from search.storage.tables import Run, RungResult
from workers.reports import Floor

SCHEMA_VERSION = 1
"""Version of the output of `search.report --json` (docs/report.md); incremented if a field is removed or changes its
meaning."""


def summarize(results: Results) -> dict[str, Any]:
    """Return counts, front, hypervolumes, settings and origin of a run as JSON values."""
    records = results.records()
    settings = results.run.settings
    full = [record for record in records if record.is_complete]
    dense = dense_of(records)
    limits = limits_of(results.run, records)
    return {
        "schema_version": SCHEMA_VERSION,
        "run": results.run.name,
        "counts": {"trials": len(records), **Counter(record.trial.state for record in records)},
        "budget": settings["budget"],
        "cost": limits.cost,
        "finished": results.run.finished is not None,
        **_hypervolumes(full, limits),
        "front": [describe_trial(record, dense) for record in members_of(records, limits)],
        "floor": _describe_floor(floor_of(records)),
        "dense": describe_trial(dense, dense) if dense else None,
        "signals": signals_had(records, settings["strategy"]),
        "rank_flips": [flips.as_dict() for flips in rank_flips(records)],
        "routing": _routing(results),
        "settings": settings,
        "origin": results.run.origin,
    }


def _routing(results: Results) -> dict[str, Any] | None:
    """Return what `search.route` found; None if it was never run."""
    row = results.routing()
    return None if row is None else row.result


def dense_of(records: Sequence[TrialRecord]) -> TrialRecord | None:
    """Return the complete trial of the dense model, or None."""
    return next((record for record in records if record.plan.is_dense and record.is_complete), None)


def members_of(records: Sequence[TrialRecord], limits: FrontLimits) -> list[TrialRecord]:
    """Return the complete trials on the front, cheapest first.

    Args:
        records: all trials of a run.
        limits: the limits that a trial on the front must keep (`limits_of`).
    """
    return list(front([record for record in records if record.is_complete], point_of, limits))


def limits_of(run: Run, records: Sequence[TrialRecord]) -> FrontLimits:
    """Return the limits that a finished trial of a run must keep to be on its front."""
    floor = floor_of(records)
    return FrontLimits.of(run.settings, run.origin, None if floor is None else floor.accuracy)


def floor_of(records: Sequence[TrialRecord]) -> Floor | None:
    """Return the accuracy reached without looking at the images, or None if the run has not measured it."""
    return next((floor for record in records if (floor := record.floor) is not None), None)


def point_of(record: TrialRecord) -> Point:
    """Return (accuracy, ratio of the minimized cost) of a trial at the highest rung it has finished."""
    last = record.on("search")[-1]
    return last.accuracy, last.flops_ratio


def _hypervolumes(full: Sequence[TrialRecord], limits: FrontLimits) -> dict[str, Any]:
    """Return two hypervolumes: of all complete trials, above accuracy 0; of those within the limits, above the floor.

    The search maximizes the second. The first can be compared between runs with different floors.
    """
    kept = [point_of(record) for record in within(full, point_of, limits)]
    reference = (limits.floor or REFERENCE[0], REFERENCE[1])
    return {
        "hypervolume": hypervolume([point_of(record) for record in full], REFERENCE, MAXIMIZE),
        "reference": dict(zip(OBJECTIVES, REFERENCE, strict=True)),
        "hypervolume_above_floor": hypervolume(kept, reference, MAXIMIZE),
        "reference_above_floor": dict(zip(OBJECTIVES, reference, strict=True)),
    }


def _describe_floor(floor: Floor | None) -> dict[str, Any] | None:
    return None if floor is None else {"accuracy": floor.accuracy, "by": str(floor), **floor.model_dump()}


def describe_trial(record: TrialRecord, dense: TrialRecord | None) -> dict[str, Any]:
    """Return a trial that has finished a rung as JSON values: plan, costs, all rungs, results on the test split.

    Args:
        record: the trial.
        dense: the trial of the dense model, with which it is compared; None if there is none.
    """
    last, test = record.on("search")[-1], describe_test(record, dense)
    return {
        "number": record.trial.number,
        "plan": record.trial.plan,
        "origin": record.trial.origin,
        "accuracy": last.accuracy,
        "retention": _retention(record, dense),
        "flops": last.flops,
        "flops_ratio": last.share_of_flops,
        "cost_ratio": last.flops_ratio,
        "predicted": _predicted(last, test, dense),
        "routes": last.costs.get("routes"),
        "sparse_flops": last.costs.get("sparse_flops", last.flops),
        "depth": last.costs["depth"],
        "parameter_bytes": last.costs["parameter_bytes"],
        "kv_bytes_per_token": last.costs["kv_bytes_per_token"],
        "memory_bytes": last.costs.get("memory_bytes"),
        "rungs": [_describe_rung(rung) for rung in record.rungs],
        "test": test,
    }


def _predicted(
    rung: RungResult, test: Mapping[str, Any] | None, dense: TrialRecord | None
) -> dict[str, float | None] | None:
    """Return the predicted seconds of vision tower, prefill, one decode step and the workload; None without them.

    `total` is by the table of times. `beside_dense` is the share of the dense time that the table predicts, times the
    dense time that was measured in turns with the plan: the speed of the machine at the test counts, not that at the
    start of the search. None if the plan was not timed.
    """
    if "latency" not in rung.costs:
        return None
    parts = {name: rung.costs[f"latency_{name}"] for name in ("vision", "prefill", "decode")}
    total, paired = rung.costs["latency"], ((test or {}).get("latency") or {}).get("dense_total_median")
    whole = dense.on("search")[-1].costs.get("latency") if dense else None
    return {**parts, "total": total, "beside_dense": total / whole * paired if paired and whole else None}


def _retention(record: TrialRecord, dense: TrialRecord | None) -> float | None:
    """Return the accuracy of a trial divided by that of the dense model, on the test split if both were tested."""
    if dense is None:
        return None
    if record.tests and dense.tests:
        accuracy, of_dense = _test_accuracy(record), _test_accuracy(dense)
    else:
        accuracy, of_dense = point_of(record)[0], point_of(dense)[0]
    return accuracy / of_dense if of_dense else None


def _test_accuracy(record: TrialRecord) -> float:
    """Return the accuracy on the test split, averaged over the seeds of tuning."""
    return fmean(test.accuracy for test in record.tests.values())


def _describe_rung(rung: RungResult) -> dict[str, Any]:
    return {
        "rung": rung.rung,
        "split": rung.split,
        "seed": rung.seed,
        "accuracy": rung.accuracy,
        "accuracy_by_kind": rung.metrics["accuracy_by_kind"],
        "questions": rung.questions,
        "tuning_steps": rung.tuning_steps,
        "tuned": rung.metrics["tuned"],
        "latency": rung.metrics["latency"],
    }
