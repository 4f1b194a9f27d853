"""Asks an exported folder, in a fresh process, what the in-search model was asked, and compares."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from objectives.metrics import METRICS, Reads, scores
from spaces.plan import Plan
from workers.apply_plan import apply_plan
from workers.blocks.anatomy import anatomy_of
from workers.data.sample import Sample
from workers.evaluation.evaluate import evaluate
from workers.export import fresh_process as reload
from workers.export.part_paths import path_of
from workers.export.request import ExportRequest
from workers.export.route import Badge, ExportError, Route
from workers.inference.prepare import Prepared
from workers.models.loaded_model import LoadedModel
from workers.models.model_files import checkpoint
from workers.models.processor import Asker
from workers.pruning.inputs import PruningInputs

COMPARED = 16
"""Questions whose logits and greedy tokens are compared."""
BATCH = 8
ANSWERED_AT_ONCE = 32
ANSWERS_MAY_DIFFER = 0.01
"""Share of answers that may differ from the search's: it packs questions, and another order of summation can turn
the balance between two tokens that are equally likely."""
CLOSE = {torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Largest difference of logits, relative to the largest logit. In float32 on a CPU they are equal to the last bit, as
an export then says; but where weights lie in memory may decide about a kernel: no reason to refuse a model."""


@dataclass(frozen=True)
class Reference:
    """What the in-search model says: the model under `apply_plan` with the trial's mapping module."""

    ids: tuple[Tensor, ...]
    logits: tuple[Tensor, ...]
    tokens: tuple[Tensor, ...]
    answers: tuple[str, ...]
    scores: tuple[float, ...]
    metric: str
    """What answers are scored by: as in the search where that scores generated answers, else exact match."""


@dataclass(frozen=True)
class Checked:
    """What the exported folder was found to do."""

    scores: tuple[float, ...]
    """Of its own answers, in the order of the split."""
    bit_equal: bool
    """Whether every compared logit is the in-search model's to the last bit."""
    result: dict[str, Any]
    """Parameters, FLOPs and seconds, beside the dense model's."""


def refer(
    loaded: LoadedModel, prepared: Prepared, plan: Plan, inputs: PruningInputs, metric: str, questions: int | None
) -> Reference:
    """Asks the in-search model; it must be under no plan."""
    samples = prepared.samples[:questions]
    ids, logits, tokens = [], [], []
    metric = metric if METRICS[metric].reads is Reads.ANSWERS else "exact_match"
    with apply_plan(loaded.model, plan, inputs):
        for first, last in batches(samples):
            chosen = samples[first:last]
            prompts = [loaded.asker.prompt(sample.question, len(sample.images)) for sample in chosen]
            encoded = reload.encode(loaded.processor, prompts, [sample.images for sample in chosen], loaded.device)
            said, new = reload.speak(loaded.model, encoded, loaded.pad_token)
            ids.append(encoded["input_ids"].cpu())
            logits.append(said.cpu())
            tokens.append(new.cpu())
        evaluation = evaluate(loaded, prepared, metric, questions)
    return Reference(tuple(ids), tuple(logits), tuple(tokens), evaluation.answers, evaluation.scores, metric)


def batches(samples: Sequence[Sample]) -> list[tuple[int, int]]:
    """First and last of every compared batch."""
    last = min(COMPARED, len(samples))
    return [(first, min(first + BATCH, last)) for first in range(0, last, BATCH)]


def check(
    folder: Path, route: Route, request: ExportRequest, loaded: LoadedModel, prepared: Prepared, reference: Reference,
    time: bool,
) -> Checked:  # fmt: skip
    """Loads the folder by the route it promises. Raises ExportError where it does anything else than it should."""
    samples = prepared.samples[: len(reference.scores)]
    with tempfile.TemporaryDirectory(prefix="skipsearch-export-") as name:
        work = Path(name)
        probe = _probe(folder, route, request, loaded, prepared, samples, time)
        _write_probe(work, probe, samples, loaded.asker)
        _run(work)
        outputs = load_file(work / "outputs.safetensors")
        result = json.loads((work / "result.json").read_text())
    if result["own_modules"]:
        raise ExportError(f"an export must load without skipsearch, got imports of {', '.join(result['own_modules'])}")
    bit_equal = _compare(outputs, reference)
    given = [sample.answers for sample in prepared.samples]
    _compare_answers(result["answers"], reference)
    return Checked(tuple(scores(reference.metric, result["answers"], given)), bit_equal, result)


def _probe(
    folder: Path, route: Route, request: ExportRequest, loaded: LoadedModel, prepared: Prepared,
    samples: Sequence[Sample], time: bool,
) -> dict[str, Any]:  # fmt: skip
    source, model = request.trial.model, loaded.model
    return {
        "export": str(folder),
        "trust_remote_code": route.badge in (Badge.REMOTE, Badge.NEMOTRON),
        "language_model": path_of(model, anatomy_of(model).decoder) if route.badge is Badge.NEMOTRON else None,
        "head": path_of(model, model.get_output_embeddings()),
        "dense": checkpoint(source),
        "revision": source.revision,
        "dense_trust_remote_code": source.trust_remote_code,
        "attention": source.attn_implementation,
        "device": str(loaded.device),
        "threads": torch.get_num_threads(),
        "pad": loaded.pad_token,
        "ends": list(loaded.end_tokens),
        "max_new_tokens": prepared.max_new_tokens,
        "batch": ANSWERED_AT_ONCE,
        "batches": batches(samples),
        "time": time,
    }


def _write_probe(work: Path, probe: dict[str, Any], samples: Sequence[Sample], asker: Asker) -> None:
    from PIL import Image

    files: dict[str, list[str]] = {}
    listed = []
    for sample in samples:
        if sample.image_id not in files:
            files[sample.image_id] = [f"{len(files)}-{number}.png" for number in range(len(sample.images))]
            for image, name in zip(sample.images, files[sample.image_id], strict=True):
                (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(work / name)
        prompt = asker.prompt(sample.question, len(sample.images))
        listed.append({"images": files[sample.image_id], "prompt": prompt})
    (work / "probe.json").write_text(json.dumps({**probe, "samples": listed}))


def _run(work: Path) -> None:
    """A fresh interpreter that sees neither our environment variables for Python nor the current folder."""
    environment = {**os.environ, "HF_MODULES_CACHE": str(work / "modules"), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, "-I", reload.__file__, str(work)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ExportError(f"an export must load in a fresh process, this one does not ({why}): nothing was written")


def _compare(outputs: dict[str, Tensor], reference: Reference) -> bool:
    """Whether all logits are equal to the last bit. Raises ExportError where they are not even as close as they
    must be, or where prompts or greedy tokens differ."""
    exact = True
    for number, (ids, logits, tokens) in enumerate(zip(reference.ids, reference.logits, reference.tokens, strict=True)):
        if not torch.equal(outputs[f"ids-{number}"], ids):
            raise ExportError("an export must read prompts as the search did, its processor gives other token ids")
        got = outputs[f"logits-{number}"]
        if got.shape != logits.shape or not _close(got, logits):
            worst = float((got - logits).abs().max()) if got.shape == logits.shape else float("inf")
            raise ExportError(
                f"an export must compute what the search measured, its logits differ by {worst:.3g}: "
                "nothing was written"
            )
        exact = exact and torch.equal(got, logits)
        if exact and not torch.equal(outputs[f"tokens-{number}"], tokens):
            raise ExportError(
                "an export must generate what the search measured, its greedy tokens differ: nothing was written"
            )
    return exact


def _close(got: Tensor, want: Tensor) -> bool:
    limit = CLOSE[want.dtype] * float(want.abs().max())
    return bool((got - want).abs().max() <= limit)


def _compare_answers(answers: Sequence[str], reference: Reference) -> None:
    differ = sum(one != other for one, other in zip(answers, reference.answers, strict=True))
    if differ > max(1, ANSWERS_MAY_DIFFER * len(answers)):
        raise ExportError(
            f"an export must answer as the search did, {differ} of its {len(answers)} answers differ: "
            "nothing was written"
        )
