"""Builds the request of an export: the trial, its tuned mapping module, and the record that its folder contains."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from objectives.intervals import bootstrap_interval
from search.analysis.select_trials import Selected
from search.analysis.summary import dense_of, describe_trial
from search.storage.results import Results, TrialRecord
from spaces.names import unknown
from spaces.plan_picture import LEGEND, plan_picture
from workers.export.request import ExportRequest
from workers.long_tuning_request import MODULE, stored_tuning, tuned_folder
from workers.requests import Rung, TrialRequest

MAPPINGS = ("auto", "search", "tuned")
"""Mapping modules of an export: that of `search.tune` if there is one, the search's, or that of `search.tune`."""


def request_of(results: Results, chosen: Selected, out: Path, **options: Any) -> ExportRequest:
    """Return the request that exports a selected plan.

    Args:
        results: results of the run.
        chosen: the plan to export.
        out: folder of the run.
        **options: further fields of `ExportRequest`, and `mapping`, one of `MAPPINGS`.
            A `form` of `auto` becomes the route that the search counted.

    Raises:
        ValueError: an option has an invalid value, or the mapping module of the trial is missing; one line.
    """
    trial, tuning = _with_tuning(trial_request(results, chosen, out), out, options.pop("mapping", "auto"))
    if options.get("form", "auto") == "auto" and trial.deploy != "any":
        options["form"] = trial.deploy
    try:
        return ExportRequest(
            trial=trial,
            fingerprints=results.run.origin["fingerprints"],
            record=_record(results, chosen, trial.mapping_module is not None) | _of_tuning(tuning, results),
            drawing=(plan_picture(chosen.plan), LEGEND.replace("`", "")),
            timings=str(out.absolute() / "exports"),
            **options,
        )
    except ValidationError as error:
        detail = error.errors()[0]
        raise ValueError(f"--{detail['loc'][0]}: {detail['msg'].lower()}, got {detail['input']!r}") from None


def _with_tuning(trial: TrialRequest, out: Path, mapping: str) -> tuple[TrialRequest, dict[str, Any] | None]:
    """Return the request with the mapping module of the trial's long tuning, and its record; None without one.

    Raises:
        ValueError: `mapping` is unknown, or is `tuned` and the trial has no long tuning.
    """
    if mapping not in MAPPINGS:
        raise unknown("mapping module of an export", mapping, MAPPINGS)
    folder = None if trial.number is None else tuned_folder(out.absolute(), trial.number)
    record = None if folder is None or mapping == "search" else stored_tuning(folder)
    if record is None or folder is None:
        if mapping == "tuned":
            raise ValueError(f"--mapping tuned needs a finished search.tune, got none of trial {trial.number}: run it")
        return trial, None
    model = trial.model.model_copy(update={"trainable": record["request"]["trial"]["model"]["trainable"]})
    return trial.model_copy(update={"mapping_module": str(folder / MODULE), "model": model}), record


def _of_tuning(record: dict[str, Any] | None, results: Results) -> dict[str, Any]:
    """Return the facts of a long tuning for plan.json, whose numbers take the place of the search's."""
    if record is None:
        return {}
    request, dense = record["request"], dense_of(results.records())
    test = {name: value for name, value in record["test"].items() if name != "scores"}
    return {
        "tuning": {
            "steps": record["best"]["step"],
            "from_scratch": request["from_scratch"],
            "trainable": request["trial"]["model"]["trainable"],
        },
        "metrics": {"search": None, "test": test, "dense": _metrics(dense, dense) if dense else None},
    }


def trial_request(results: Results, chosen: Selected, out: Path) -> TrialRequest:
    """Return the request that runs a plan on the test split, with the mapping module that its trial tuned.

    Args:
        results: results of the run.
        chosen: the plan, and its trial if it has one.
        out: folder of the run.

    Raises:
        ValueError: the run has no trial, or the trial's mapping module is missing.
    """
    records = results.records()
    stored = chosen.record or next(iter(records), None)
    if stored is None:
        raise ValueError("a run must have a trial before one of its plans is exported, got none: continue the search")
    request = dict(stored.trial.request)
    request |= {
        "plan": chosen.plan,
        "rungs": (Rung(split="test"),),
        "first_rung": 0,
        "mapping_module": None,
        "number": chosen.record.trial.number if chosen.record else None,
    }
    module = chosen.record.mapping_module if chosen.record else None
    if module is not None:
        place = out.absolute() / "artifacts" / module
        if not place.is_file():
            place = Path(request["artifacts"] or ".") / module
        if not place.is_file():
            raise ValueError(
                f"the tuned mapping module of trial {stored.trial.number} must be in {out / 'artifacts'}, but {module} "
                "is missing: restore it, or export another trial"
            )
        request["mapping_module"] = str(place)
    return TrialRequest.model_validate(request)


def _record(results: Results, chosen: Selected, tuned: bool) -> dict[str, Any]:
    """Return the facts about the trial and its run for plan.json, as JSON values."""
    records = results.records()
    settings = results.run.settings
    dense = dense_of(records)
    return {
        "run": results.run.name,
        "trial": chosen.record.trial.number if chosen.record else None,
        "found_by": chosen.record.trial.origin if chosen.record else "given",
        "chosen_as": chosen.why,
        "tuned": tuned,
        "data": Path(settings["dataset"]["name"]).name,
        "metric": settings["metric"],
        "seed": settings["seed"],
        "metrics": {
            **(_metrics(chosen.record, dense) if chosen.record else {}),
            "dense": _metrics(dense, dense) if dense else None,
        },
        "search_origin": {
            key: value for key, value in results.run.origin.items() if key in ("versions", "commit", "fingerprints")
        },
    }


def _metrics(record: TrialRecord, dense: TrialRecord | None) -> dict[str, Any]:
    """Return the accuracies, with confidence intervals, that the search measured with the exported mapping module."""
    described, last = describe_trial(record, dense), record.on("search")[-1]
    search = {
        "accuracy": last.accuracy,
        "interval": bootstrap_interval(last.scores),
        "accuracy_by_kind": last.metrics["accuracy_by_kind"],
        "questions": last.questions,
        "tuning_steps": last.tuning_steps,
    }
    test = described["test"]
    return {"search": search, "test": test["own"] if test else None}
