"""Builds plan.json: plan, origin and measurements of an exported folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from objectives.intervals import bootstrap_interval, paired_interval
from objectives.workload import Workload
from workers.data.sample import Sample
from workers.describe import BYTES
from workers.export.check import Checked, Reference
from workers.export.engines.engines import EngineRun
from workers.export.request import ExportRequest
from workers.export.route import Route
from workers.export.route_costs import ExportCosts
from workers.software import commit, versions

SCHEMA = 1
"""Version of plan.json."""


def record_of(
    folder: Path, request: ExportRequest, route: Route, spent: ExportCosts, workload: Workload, reference: Reference,
    checked: Checked, ran: Sequence[EngineRun] = (), sample: Sample | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the record of one export.

    The same request gives the same record: it contains no date and no local path.

    Args:
        folder: the exported folder, whose files are listed with their SHA-256.
        request: the request of the export.
        route: the form of the export.
        spent: costs of the folder, and those that the search counted.
        workload: numbers of tokens for the costs.
        reference: outputs of the in-search model.
        checked: outputs and measurements of the exported folder.
        ran: comparisons of other engines with the in-search model.
        sample: the first question of the check, as an example.
    """
    plan = request.trial.plan
    return {
        "schema": SCHEMA,
        "plan": str(plan),
        "plan_json": json.loads(plan.to_json()),
        "digest": plan.digest,
        "badge": str(route.badge),
        "badges": list(map(str, route.badges)),
        "notes": list(route.notes),
        "base_model": base_model(request),
        "kept_blocks": list(route.kept_blocks),
        "layers": [{"attention_of_block": layer.attention, "ffn_of_block": layer.ffn} for layer in route.layers],
        **request.record,
        "costs": spent.paid.as_dict(),
        "costs_in_search": {"deploy": request.trial.deploy, **spent.searched.as_dict()},
        "workload": workload.to_dict(),
        "checked": _checked(reference, checked),
        "engines": [run.to_dict() for run in ran],
        "example": _example(sample, checked) if sample else None,
        "measured": _measured(folder, checked),
        "files": {str(path.relative_to(folder)): _hash(path) for path in sorted(folder.rglob("*")) if path.is_file()},
        "exported_with": {"versions": versions(), "commit": commit()},
    }


def base_model(request: ExportRequest) -> dict[str, Any]:
    """Return name, revision and fingerprint of the base model.

    The name of a local folder is the last part of its path.
    """
    source, name = request.trial.model, request.trial.model.name
    is_folder = Path(name).expanduser().is_dir()
    return {
        "name": Path(name).name if is_folder else name,
        "kind": "embedded" if name == "embedded" else "folder" if is_folder else "hub",
        "revision": source.revision,
        "fingerprint": request.fingerprints.get("model"),
    }


def _checked(reference: Reference, checked: Checked) -> dict[str, Any]:
    """Return the scores of the reloaded folder and their comparison with those of the in-search model."""
    return {
        "split": "test",
        "metric": reference.metric,
        "questions": len(checked.scores),
        "accuracy": sum(checked.scores) / len(checked.scores),
        "interval": bootstrap_interval(checked.scores),
        "in_search_accuracy": sum(reference.scores) / len(reference.scores),
        "difference_interval": paired_interval(checked.scores, reference.scores),
        "logits_bit_equal": checked.bit_equal,
        "loaded_as": checked.result["class"],
    }


def _example(sample: Sample, checked: Checked) -> dict[str, Any]:
    """Return the first question of the check, its accepted answers, and the answer of the exported folder."""
    return {
        "question": sample.question,
        "accepted": list(sample.answers),
        "answer": checked.result["answers"][0],
        "score": checked.scores[0],
    }


def _measured(folder: Path, checked: Checked) -> dict[str, Any]:
    result = checked.result
    width = BYTES[result["dtype"]]
    return {
        "dtype": result["dtype"],
        "parameters": {name: result[name]["parameters"] for name in ("exported", "dense")},
        "weight_bytes": {
            "exported": sum(path.stat().st_size for path in folder.glob("*.safetensors")),
            "dense": result["dense"]["parameters"] * width,
        },
        "flops_of_one_answer": {name: result[name]["flops"] for name in ("exported", "dense")},
        "seconds": result["seconds"],
    }


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**24):
            digest.update(chunk)
    return digest.hexdigest()
