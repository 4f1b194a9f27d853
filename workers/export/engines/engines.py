"""Runs exports in inference engines and compares them with the in-search model on the same questions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from spaces.names import unknown
from spaces.plan import Plan
from workers.apply_plan import apply_plan
from workers.data.sample import Sample
from workers.export.fresh_process import KEPT_POSITIONS, encode
from workers.export.route import Badge, Route
from workers.models.loaded_model import LoadedModel
from workers.pruning.inputs import PruningInputs

QUESTIONS = 3
"""Number of questions that an engine answers."""
SECONDS = 600
"""Time limit of an engine in seconds."""
AGREE = {torch.float32: 0.003, torch.float16: 0.05, torch.bfloat16: 0.3}
"""Dtype -> maximum difference of log-probabilities, in nats, at which an engine agrees with the search."""
LIKELY = -20.0
"""Minimum log-probability in the search, in nats, of the tokens that are compared; others are never sampled."""


@dataclass(frozen=True)
class Engine:
    """An inference engine that runs exported folders with its own code."""

    package: str
    """Name of the distribution to install."""
    module: str
    """Module that can be imported if the distribution is installed."""
    script: str
    """File in this folder that runs the engine."""
    form: str
    """The files it reads: `whole` models of stock layers, `nemotron-nas`, or `gguf`."""
    serve: str
    """Command that serves FOLDER."""


ENGINES = {
    "mlx-vlm": Engine("mlx-vlm", "mlx_vlm", "run_mlx_vlm.py", "whole", "python -m mlx_vlm.server --model FOLDER"),
    "mlx-lm": Engine("mlx-lm", "mlx_lm", "run_mlx_lm.py", "nemotron-nas", "mlx_lm.server --model FOLDER"),
    "llama.cpp": Engine("xllamacpp", "xllamacpp", "run_llama_cpp.py", "gguf", "llama-server --model FOLDER/model.gguf"),
}


@dataclass(frozen=True)
class EngineRun:
    """The comparison of one engine with the in-search model."""

    engine: str
    version: str
    questions: int
    largest_difference: float | None
    """Largest difference of log-probabilities in nats; None if the engine did not run."""
    agrees: bool
    error: str | None = None
    """The reason why the engine did not run, in one line."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for plan.json."""
        return asdict(self)


def forms_of(route: Route) -> tuple[str, ...]:
    """Return the forms, as in `Engine.form`, in which engines can read an export; none for remote code."""
    if route.badge is Badge.NEMOTRON:
        return ("nemotron-nas", "gguf") if route.gguf else ("nemotron-nas",)
    return () if route.badge is Badge.REMOTE else ("whole",)


def engines_for(names: Sequence[str], route: Route) -> list[str]:
    """Return the engines to run for an export.

    Args:
        names: engine names, or `auto` for all that are installed.
        route: the form of the export.

    Raises:
        ValueError: a name is unknown, or a named engine is not installed.
    """
    if tuple(names) == ("auto",):
        names = [name for name, engine in ENGINES.items() if find_spec(engine.module)]
    for name in names:
        if name not in ENGINES:
            raise unknown("engine", name, ENGINES)
        if find_spec(ENGINES[name].module) is None:
            raise ValueError(
                f"an engine must be installed, got {name} without {ENGINES[name].package}: "
                f"pip install {ENGINES[name].package}, or leave --engines out"
            )
    return [name for name in names if ENGINES[name].form in forms_of(route)]


class EngineFailed(Exception):
    """An engine stopped with an error. The message is one line."""


def in_own_process(script: Path, work: Path) -> None:
    """Run an engine's script in a fresh process.

    Args:
        script: the script.
        work: folder with its request and inputs, to which it writes its outputs.

    Raises:
        EngineFailed: it stopped with an error, or ran out of time.
    """
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-I", str(script), str(work)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise EngineFailed(f"no answer within {SECONDS} seconds") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise EngineFailed(" ".join(lines[-1].split())[:300])


Start = Callable[[Path, Path], None]
"""(script of an engine, folder with its request) -> None; runs the script, raises EngineFailed."""


def run_engine(
    name: str, folder: Path, route: Route, loaded: LoadedModel, inputs: PruningInputs, samples: Sequence[Sample],
    start: Start = in_own_process,
) -> EngineRun:  # fmt: skip
    """Run an exported folder in an engine and compare it with the in-search model.

    Args:
        name: key of `ENGINES`.
        folder: the exported folder.
        route: its form.
        loaded: the in-search model with the mapping module of the trial, and no plan applied.
        inputs: inputs of the pruned blocks.
        samples: questions, of which the first `QUESTIONS` are answered.
        start: runs the engine's script.
    """
    inputs_per_question = [_question(loaded, sample, ENGINES[name].form) for sample in samples[:QUESTIONS]]
    wanted = reference(loaded, route.plan, inputs, inputs_per_question)
    try:
        texts = [sample.question for sample in samples[:QUESTIONS]]
        got = _run(ENGINES[name], folder, loaded, inputs_per_question, texts, start)
        worst = max(largest_difference(got[str(number)], want) for number, want in enumerate(wanted))
        error = _other_tokens(got, inputs_per_question)
    except EngineFailed as failed:
        return EngineRun(name, engine_version(name), len(inputs_per_question), None, False, str(failed))
    agrees = error is None and worst <= AGREE[loaded.model.dtype]
    return EngineRun(name, engine_version(name), len(inputs_per_question), worst, agrees, error)


def engine_version(name: str) -> str:
    """Return the version of an engine's distribution, or `?`."""
    try:
        return version(ENGINES[name].package)
    except PackageNotFoundError:
        return "?"


def _question(loaded: LoadedModel, sample: Sample, form: str) -> dict[str, Tensor]:
    """Return the model inputs of a question: prompt and images for whole models, else only its text."""
    if form != "whole":
        return {"input_ids": torch.tensor([loaded.processor.tokenizer(sample.question)["input_ids"]])}
    prompt = loaded.prompt_encoder.prompt(sample.question, len(sample.images))
    return encode(loaded.processor, [prompt], [sample.images], loaded.device)


@torch.no_grad()
def reference(
    loaded: LoadedModel, plan: Plan, inputs: PruningInputs, inputs_per_question: Sequence[Mapping[str, Tensor]]
) -> list[Tensor]:
    """Return the log-probabilities of the in-search model, (positions, vocabulary) float32 per question, in nats.

    Args:
        loaded: the model, with no plan applied.
        plan: the plan to apply.
        inputs: inputs of the pruned blocks.
        inputs_per_question: model inputs per question.
    """
    model = loaded.model
    with apply_plan(model, plan, inputs):
        return [
            model(
                **{
                    name: value.to(loaded.device, model.dtype if value.is_floating_point() else None)
                    for name, value in each.items()
                }
            ).logits[0, -KEPT_POSITIONS:].float().log_softmax(-1).cpu()
            for each in inputs_per_question
        ]  # fmt: skip


def largest_difference(got: Tensor, want: Tensor) -> float:
    """Return the largest difference of log-probabilities among likely tokens.

    Args:
        got: (P, V) log-probabilities of the engine at the last P positions, NaN for tokens that it did not return.
        want: (Q, V) log-probabilities in the search at the last Q positions, at least P.
    """
    want = want[-len(got) :]
    compared = ~got.isnan() & (want > LIKELY)
    return float((got - want)[compared].abs().max())


def _run(
    engine: Engine,
    folder: Path,
    loaded: LoadedModel,
    inputs_per_question: Sequence[Mapping[str, Tensor]],
    texts: Sequence[str],
    start: Start,
) -> dict[str, Tensor]:
    """Return the outputs of an engine for the questions.

    Raises:
        EngineFailed: it stopped with an error, or ran out of time.
    """
    with tempfile.TemporaryDirectory(prefix="skipsearch-engine-") as place:
        work = Path(place)
        request = {
            "folder": str(folder.absolute()),
            "questions": len(inputs_per_question),
            "positions": KEPT_POSITIONS,
            "texts": list(texts),
            "vocabulary": loaded.model.config.get_text_config().vocab_size,
            "plain_token": _plain_token(loaded.processor.tokenizer),
        }
        (work / "request.json").write_text(json.dumps(request))
        flat = {
            f"{n}.{key}": value.cpu().contiguous()
            for n, each in enumerate(inputs_per_question)
            for key, value in each.items()
        }
        save_file(flat, work / "inputs.safetensors")
        start(Path(__file__).parent / engine.script, work)
        return load_file(work / "outputs.safetensors")


def _plain_token(tokenizer: Any) -> int:
    """Return the id of a token that consists of letters; 0 if there is none."""
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    special = set(tokenizer.all_special_ids)
    return next((index for text, index in vocabulary if text.isascii() and text.isalpha() and index not in special), 0)


def _other_tokens(got: Mapping[str, Tensor], inputs_per_question: Sequence[Mapping[str, Tensor]]) -> str | None:
    """Return a line on the first text that an engine tokenizes differently from the search, or None."""
    for number, each in enumerate(inputs_per_question):
        tokens = got.get(f"{number}.input_ids")
        if tokens is not None and tokens.tolist() != each["input_ids"][0].tolist():
            return (
                f"it reads question {number} as tokens {tokens.tolist()}, the search as {each['input_ids'][0].tolist()}"
            )
    return None
