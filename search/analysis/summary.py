"""What a run has found, as plain data: read from the results tables alone, without torch or Optuna."""

from collections import Counter
from typing import Any

from objectives.hypervolume import hypervolume
from objectives.objectives import MAXIMIZE, REFERENCE
from objectives.pareto import non_dominated
from search.analysis.rank_flips import rank_flips
from search.analysis.scores_on_test import describe_test
from search.storage.results import Results, TrialRecord
from search.storage.tables import RungResult


def summarize(results: Results) -> dict[str, Any]:
    """Counts, front, hypervolume and settings of a run; ready for JSON."""
    records = results.records()
    settings = results.run.settings
    full = [record for record in records if record.trial.state == "complete" and record.on("search")]
    dense = next((r for r in full if r.plan.is_dense), None)
    allowed = [r for r in full if _within(r, settings)]
    points = [_point(record) for record in allowed]
    return {
        "run": results.run.name,
        "counts": {"trials": len(records), **Counter(record.trial.state for record in records)},
        "budget": settings["budget"],
        "finished": results.run.finished is not None,
        "hypervolume": hypervolume(points, REFERENCE, MAXIMIZE),
        "reference": dict(zip(("accuracy", "flops_ratio"), REFERENCE, strict=True)),
        "front": [describe_trial(record, dense) for record in pareto_front(allowed)],
        "dense": describe_trial(dense, dense) if dense else None,
        "rank_flips": [flips.as_dict() for flips in rank_flips(records)],
        "settings": settings,
        "origin": results.run.origin,
    }


def pareto_front(records: list[TrialRecord]) -> list[TrialRecord]:
    """The complete trials that no other dominates on the search split, cheapest first."""
    if not records:
        return []
    mask = non_dominated([_point(record) for record in records], MAXIMIZE)
    chosen = [record for record, keep in zip(records, mask, strict=True) if keep]
    return sorted(chosen, key=lambda record: _point(record)[1])


def describe_trial(record: TrialRecord, dense: TrialRecord | None) -> dict[str, Any]:
    """One trial with every rung it reached, its costs, and its test result beside the dense model's."""
    last = record.on("search")[-1]
    return {
        "number": record.trial.number,
        "plan": record.trial.plan,
        "origin": record.trial.origin,
        "accuracy": last.accuracy,
        "flops": last.flops,
        "flops_ratio": last.flops_ratio,
        "sparse_flops": last.costs.get("sparse_flops", last.flops),
        "depth": last.costs["depth"],
        "parameter_bytes": last.costs["parameter_bytes"],
        "kv_bytes_per_token": last.costs["kv_bytes_per_token"],
        "rungs": [_describe_rung(rung, record.seed) for rung in record.rungs],
        "test": describe_test(record, dense),
    }


def _describe_rung(rung: RungResult, seed: int) -> dict[str, Any]:
    return {
        "rung": rung.rung,
        "split": rung.split,
        "seed": rung.metrics.get("seed", seed),
        "accuracy": rung.accuracy,
        "accuracy_by_kind": rung.metrics["accuracy_by_kind"],
        "questions": rung.questions,
        "tuning_steps": rung.tuning_steps,
        "tuned": rung.metrics["tuned"],
        "latency": rung.metrics["latency"],
    }


def _point(record: TrialRecord) -> tuple[float, float]:
    last = record.on("search")[-1]
    return last.accuracy, last.flops_ratio


def _within(record: TrialRecord, settings: dict[str, Any]) -> bool:
    accuracy, flops_ratio = _point(record)
    most, least = settings["max_flops"], settings.get("min_accuracy")  # runs made before it was one lack the second
    return (most is None or flops_ratio <= most) and (least is None or accuracy >= least)
