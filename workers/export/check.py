"""Compares an exported folder, loaded in a fresh process, with the in-search model on the same questions."""

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

from objectives.metrics import METRICS, Reads
from spaces.plan import Plan
from workers.apply_plan import apply_plan
from workers.blocks.anatomy import anatomy_of
from workers.data.sample import Sample
from workers.evaluation.evaluate import evaluate
from workers.evaluation.scoring import score_answers
from workers.export import fresh_process as reload
from workers.export.bundle import MODELING
from workers.export.part_paths import path_of
from workers.export.request import ExportRequest
from workers.export.route import ExportError, Route
from workers.inference.prepare import Prepared
from workers.models.attention_choice import used_attention
from workers.models.chat_template import PromptEncoder
from workers.models.loaded_model import LoadedModel
from workers.models.model_files import checkpoint
from workers.pruning.inputs import PruningInputs

COMPARED = 16
"""Number of questions whose logits and greedy tokens are compared."""
BATCH = 8
"""Questions per batch whose logits are compared."""
ANSWERED_AT_ONCE = 32
"""Questions per batch of generated answers."""
ANSWERS_MAY_DIFFER = 0.01
"""Maximum fraction of answers that may differ from those of the search.

The search packs questions into sequences; the different order of summation can exchange two almost equally likely
tokens.
"""
CLOSE = {torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Dtype -> maximum difference of logits, relative to the largest absolute logit.

In float32 on a CPU, logits are usually bit-equal, which the export then reports. They need not be, since the address of
weights in memory may select another kernel.
"""


@dataclass(frozen=True)
class Reference:
    """The outputs of the in-search model: the model under `apply_plan` with the trial's mapping module."""

    ids: tuple[Tensor, ...]
    """Per compared batch, (B, T) prompt token ids."""
    logits: tuple[Tensor, ...]
    """Per compared batch, (B, positions, vocabulary) logits of the last positions."""
    tokens: tuple[Tensor, ...]
    """Per compared batch, (B, new) greedy tokens."""
    answers: tuple[str, ...]
    scores: tuple[float, ...]
    metric: str
    """Metric of the scores: that of the search if it scores generated answers, else exact match."""


@dataclass(frozen=True)
class Checked:
    """The outputs and measurements of the exported folder."""

    scores: tuple[float, ...]
    """Scores of the folder's own answers, in the order of the split."""
    bit_equal: bool
    """True if every compared logit is bit-equal to that of the in-search model."""
    result: dict[str, Any]
    """Parameters, FLOPs and seconds, with those of the dense model."""


def ask_reference(
    loaded: LoadedModel, prepared: Prepared, plan: Plan, inputs: PruningInputs, metric: str, questions: int | None
) -> Reference:
    """Return the outputs of the in-search model, for comparison.

    Args:
        loaded: the model, with no plan applied.
        prepared: the split whose questions are answered.
        plan: the plan to apply.
        inputs: inputs of the pruned blocks.
        metric: name of the metric of the search; a metric of likelihoods is replaced by exact match.
        questions: number of questions from the start of the split; None for all.
    """
    samples = prepared.samples[:questions]
    ids, logits, tokens = [], [], []
    metric = metric if METRICS[metric].reads is Reads.ANSWERS else "exact_match"
    with apply_plan(loaded.model, plan, inputs):
        for first, last in batches(samples):
            chosen = samples[first:last]
            prompts = [loaded.prompt_encoder.prompt(sample.question, len(sample.images)) for sample in chosen]
            encoded = reload.encode(loaded.processor, prompts, [sample.images for sample in chosen], loaded.device)
            of_last, new = reload.logits_and_tokens(loaded.model, encoded, loaded.pad_token)
            ids.append(encoded["input_ids"].cpu())
            logits.append(of_last.cpu())
            tokens.append(new.cpu())
        evaluation = evaluate(loaded, prepared, metric, questions)
    return Reference(tuple(ids), tuple(logits), tuple(tokens), evaluation.answers, evaluation.scores, metric)


def batches(samples: Sequence[Sample]) -> list[tuple[int, int]]:
    """Return the first and the last (exclusive) index of each batch whose logits are compared."""
    last = min(COMPARED, len(samples))
    return [(first, min(first + BATCH, last)) for first in range(0, last, BATCH)]


def check(
    folder: Path, route: Route, request: ExportRequest, loaded: LoadedModel, prepared: Prepared, reference: Reference,
    time: bool,
) -> Checked:  # fmt: skip
    """Load the folder in a fresh process, as its badge says, and compare its outputs with the reference.

    Args:
        folder: the exported folder.
        route: the form of the export.
        request: the request of the export.
        loaded: the in-search model.
        prepared: the split that the reference answered.
        reference: the outputs of the in-search model.
        time: True to measure wall-clock times as well.

    Raises:
        ExportError: the folder does not load without skipsearch, or prompts, logits, tokens or answers differ.
    """
    samples = prepared.samples[: len(reference.scores)]
    with tempfile.TemporaryDirectory(prefix="skipsearch-export-") as name:
        work = Path(name)
        probe = _probe(folder, route, request, loaded, prepared, samples, time)
        write_probe(work, probe, samples, loaded.prompt_encoder)
        run_fresh(work, reload.__file__)
        outputs = load_file(work / "outputs.safetensors")
        result = json.loads((work / "result.json").read_text())
    if result["own_modules"]:
        raise ExportError(f"an export must load without skipsearch, got imports of {', '.join(result['own_modules'])}")
    bit_equal = _compare(outputs, reference)
    _compare_answers(result["answers"], reference)
    return Checked(tuple(score_answers(reference.metric, result["answers"], prepared.samples)), bit_equal, result)


def _probe(
    folder: Path, route: Route, request: ExportRequest, loaded: LoadedModel, prepared: Prepared,
    samples: Sequence[Sample], time: bool,
) -> dict[str, Any]:  # fmt: skip
    source, model = request.trial.model, loaded.model
    return {
        "export": str(folder),
        "trust_remote_code": route.badge in MODELING or source.trust_remote_code,
        "language_model": path_of(model, anatomy_of(model).decoder) if route.badge.is_language_model else None,
        "head": path_of(model, model.get_output_embeddings()),
        "dense": checkpoint(source),
        "revision": source.revision,
        "dense_trust_remote_code": source.trust_remote_code,
        "attention": used_attention(model.config),
        "text_attention": str(model.config.get_text_config()._attn_implementation),
        "device": str(loaded.device),
        "threads": torch.get_num_threads(),
        "pad": loaded.pad_token,
        "ends": list(loaded.end_tokens),
        "lead": loaded.lead,
        "max_new_tokens": prepared.max_new_tokens,
        "batch": ANSWERED_AT_ONCE,
        "batches": batches(samples),
        "time": time,
    }


def write_probe(work: Path, probe: dict[str, Any], samples: Sequence[Sample], prompt_encoder: PromptEncoder) -> None:
    """Write the questions and options of a fresh process, which reads them from `probe.json`.

    Args:
        work: the folder to write into.
        probe: options of the process.
        samples: the questions.
        prompt_encoder: writes their prompts.
    """
    from PIL import Image

    files: dict[str, list[str]] = {}
    listed = []
    for sample in samples:
        if sample.image_id not in files:
            files[sample.image_id] = [f"{len(files)}-{number}.png" for number in range(len(sample.images))]
            for image, name in zip(sample.images, files[sample.image_id], strict=True):
                (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(work / name)
        prompt = prompt_encoder.prompt(sample.question, len(sample.images))
        listed.append({"images": files[sample.image_id], "prompt": prompt})
    (work / "probe.json").write_text(json.dumps({**probe, "samples": listed}))


def run_fresh(work: Path, script: str, *arguments: str) -> None:
    """Run a script in a fresh process, which ignores Python's environment variables and the current folder.

    Args:
        work: folder with the script's input, its first argument.
        script: path of the script.
        *arguments: its further arguments.

    Raises:
        ExportError: it ended with an error.
    """
    environment = {**os.environ, "HF_MODULES_CACHE": str(work / "modules"), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, "-I", script, str(work), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ExportError(f"an export must load in a fresh process, this one does not ({why}): nothing was written")


def _compare(outputs: dict[str, Tensor], reference: Reference) -> bool:
    """Return True if all logits are bit-equal.

    Raises:
        ExportError: logits differ by more than the tolerance, or prompts or greedy tokens differ.
    """
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
