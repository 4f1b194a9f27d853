"""Exports a router with its plans into one folder, and checks it in a fresh process."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from objectives.memory import parameter_bytes
from objectives.metrics import METRICS, Reads, scores
from objectives.routing import picks_at
from spaces.plan import Plan
from workers.export import fresh_process, routed_process
from workers.export.bundle import write_bundle
from workers.export.check import ANSWERED_AT_ONCE, ANSWERS_MAY_DIFFER, run_fresh, write_probe
from workers.export.folder import replacing
from workers.export.request import ExportRequest
from workers.export.route import ExportError
from workers.export.routed_model import check_routable, routed_model
from workers.export.routed_request import RoutedRequest
from workers.export.write import MAX_SHARD_SIZE, Exporter, Say, check_base
from workers.models.attention_choice import used_attention
from workers.routing.answer import answer_split
from workers.routing.questions import Questions, read_questions
from workers.routing.router import Router
from workers.session import Session
from workers.software import commit, versions

PLANS_MAY_DIFFER = 0.002
"""Maximum fraction of questions whose plan may differ from that of the search, where two plans are equally good up to
rounding."""
SCHEMA = 1
"""Version of routing.json."""


def export_routed(request: RoutedRequest, folder: Path, force: bool = False, say: Say = print) -> dict[str, Any]:
    """Export a router with its plans, and return the record that is stored in the folder.

    Args:
        request: the request of the export.
        folder: the target.
        force: True to replace an existing folder.
        say: called with lines of progress.

    Raises:
        ExportError: the plans do not share their weights, model or data changed since the search, the target cannot be
            written, or the folder chooses other plans or gives other answers than the search.
    """
    check_routable(request)
    first = request.trials[0]
    check_base(ExportRequest(trial=first, fingerprints=request.fingerprints))
    torch.set_num_threads(first.threads or torch.get_num_threads())
    session = Session(first.model, first.data)
    exporter = Exporter(session, say)
    dense = Plan.dense(session.shape.num_blocks)
    with replacing(folder, force, parameter_bytes(session.shape, dense)) as place:
        questions = read_questions(session.loaded, session.split("test"))
        built = routed_model(session, request, questions)
        built.save_pretrained(place, max_shard_size=MAX_SHARD_SIZE)
        exporter.processor.save_pretrained(place)
        for path in place.rglob("*.safetensors"):
            shutil.copymode(place / "config.json", path)  # safetensors removes read permission for others
        write_bundle("workers.export.modeling_routed", place)
        checked = _check(place, session, request, questions)
        record = {
            "schema": SCHEMA,
            "plans": [{"trial": each.number, "plan": str(each.plan)} for each in request.trials],
            "ratios": list(request.ratios),
            "dial": list(request.dial),
            "default": request.default,
            "checked": checked,
            "origin": {"versions": versions(), "commit": commit(), "threads": torch.get_num_threads()},
            **request.record,
        }
        (place / "routing.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def _check(place: Path, session: Session, request: RoutedRequest, questions: Questions) -> dict[str, Any]:
    """Compare plans and answers of the folder, loaded in a fresh process, with those of the search.

    Raises:
        ExportError: they differ, or the folder does not load without skipsearch.
    """
    prepared, samples = session.split("test"), session.split("test").samples[: request.questions]
    expected = _search_plans(request, questions)[: len(samples)]
    answers = _search_answers(session, request, expected)
    with tempfile.TemporaryDirectory(prefix="skipsearch-export-") as name:
        work = Path(name)
        write_probe(work, _probe(place, session, request), samples, session.loaded.prompt_encoder)
        run_fresh(work, routed_process.__file__, fresh_process.__file__)
        result = json.loads((work / "result.json").read_text())
    if result["own_modules"]:
        raise ExportError(f"an export must load without skipsearch, got imports of {', '.join(result['own_modules'])}")
    plans = _differing("plan", result["plans"], expected, PLANS_MAY_DIFFER)
    differ = _differing("answer", result["answers"], answers, ANSWERS_MAY_DIFFER)
    given = [sample.answers for sample in prepared.samples]
    metric = _metric(session, request)
    ours, theirs = (scores(metric, each, given) for each in (result["answers"], answers))
    return {
        "questions": len(samples),
        "accuracy": sum(ours) / len(samples),
        "in_search_accuracy": sum(theirs) / len(samples),
        "other_plans": plans,
        "other_answers": differ,
        "parameters": result["parameters"],
        "seconds": result["seconds"],
        "single_trial": request.trials[request.single].number,
    }


def _metric(session: Session, request: RoutedRequest) -> str:
    metric = session.metric(request.trials[0])
    return metric if METRICS[metric].reads is Reads.ANSWERS else "exact_match"


def _search_plans(request: RoutedRequest, questions: Questions) -> list[int]:
    """Return the plan of each test question at the default point, as the search chose it."""
    point = request.dial[request.default]
    if "plan" in point:
        return [point["plan"]] * len(questions.kinds)
    expected = Router.of(load_file(request.router)).expected(torch.from_numpy(questions.text)).numpy()
    picks = picks_at(expected.astype(np.float64), np.array(request.ratios), point["price"])
    return [int(pick) for pick in picks]


def _search_answers(session: Session, request: RoutedRequest, expected: Sequence[int]) -> list[str]:
    """Return the answers of the in-search model: every question under its plan, with that plan's mapping module."""
    metric = _metric(session, request)
    trials = [trial.model_copy(update={"metric": metric}) for trial in request.trials]
    answers = {plan: answer_split(session, trials[plan], "test").answers for plan in sorted(set(expected))}
    return [answers[plan][index] for index, plan in enumerate(expected)]


def _differing(what: str, got: Sequence[Any], want: Sequence[Any], most: float) -> int:
    """Return the number of questions with another value; raise ExportError if it is too large."""
    differ = sum(bool(one != other) for one, other in zip(got, want, strict=True))
    if differ > max(1, most * len(want)):
        raise ExportError(
            f"an export must do what the search measured, {differ} of its {len(want)} questions have another {what}: "
            "nothing was written"
        )
    return differ


def _probe(place: Path, session: Session, request: RoutedRequest) -> dict[str, Any]:
    loaded = session.loaded
    return {
        "export": str(place),
        "trust_remote_code": True,
        "language_model": None,
        "attention": used_attention(loaded.model.config),
        "device": str(loaded.device),
        "threads": torch.get_num_threads(),
        "pad": loaded.pad_token,
        "ends": list(loaded.end_tokens),
        "max_new_tokens": session.split("test").max_new_tokens,
        "batch": ANSWERED_AT_ONCE,
        "num_plans": len(request.trials),
        "single": request.single,
        "time": True,
    }
