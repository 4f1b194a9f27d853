"""Trains the mapping module in stages: `python -m workers.pretrained.training.staged --folder DIR --out OUT`.

Three stages, through the frozen language model, on `train`; `tune` chooses the result:

1. `class_tokens`: one visual token per color and shape, until the language model compares words with images.
2. `fit_mapping`: the mapping module gives these tokens, by least squares on image features.
3. Cross-entropy of the answers from image features, half of them about the split's own questions and half balanced
   ones; accuracy on `tune` is recorded along the way, and the best state is kept.

Features of the frozen vision tower are computed once, and questions about an image share its prefix. The language model
runs in bfloat16, which is three times faster than float32 on CPUs with AMX; the mapping module is trained in float32.
OUT receives `log.jsonl`, `mapping.safetensors` in float16, and every 50 steps the state from which the same command
continues.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from workers.evaluation.evaluate import evaluate
from workers.inference.packed_forward import projector
from workers.inference.packed_split import PackedSplit
from workers.models.loaded_model import LoadedModel
from workers.pretrained.model_folder import initialize
from workers.pretrained.training.balanced_questions import Facts, facts_of
from workers.pretrained.training.class_tokens import TokenTraining
from workers.pretrained.training.fit_mapping import fit
from workers.pretrained.training.from_images import BALANCED, BalancedTraining
from workers.pretrained.training.recipe import Schedule, Training, load

STEPS_BETWEEN_STATES = 50
"""Number of steps after which the state of the first and third stage is saved."""
EXAM_QUESTIONS = 256
"""Number of questions of `tune` that choose the result; at most the size of the split."""


class Log:
    """Writes loss and accuracy on `tune` as JSON lines, saves the state, and keeps the best mapping module."""

    def __init__(self, out: Path, tune: PackedSplit) -> None:
        self.out, self.tune, self.started = out, tune, time.perf_counter()
        self.losses: list[float] = []
        lines = (out / "log.jsonl").read_text().splitlines() if (out / "log.jsonl").exists() else []
        self.best = max((row["accuracy"] for row in map(json.loads, lines) if "accuracy" in row), default=-1.0)

    def of_tokens(self, training: TokenTraining, loss: float) -> None:
        """Note a step of the first stage."""
        self.losses.append(loss)
        if training.step % 10 == 0:
            self.write({"stage": "class tokens", "step": training.step, "loss": self._mean_loss()})
        if training.step % STEPS_BETWEEN_STATES == 0:
            _save(training.state(), self.out / "tokens.pt")

    def __call__(self, training: Training, loss: float) -> None:
        """Note a step of the third stage."""
        self.losses.append(loss)
        if training.step % STEPS_BETWEEN_STATES == 0 or training.step == training.schedule.steps:
            self.examine(training.loaded, training.step)
            _save(training.state(), self.out / "state.pt")

    def examine(self, loaded: LoadedModel, step: int) -> None:
        """Write step, mean loss since the last line and accuracy on `tune`; keep the mapping module if it is best."""
        result = evaluate(loaded, self.tune, "exact_match", min(EXAM_QUESTIONS, len(self.tune.samples)))
        row = {"stage": "images", "step": step, "loss": self._mean_loss(), "accuracy": result.accuracy}
        self.write({**row, "by_kind": result.accuracy_by_kind})
        if result.accuracy > self.best:
            self.best = result.accuracy
            weights = projector(loaded).state_dict().items()
            save_file({name: weight.half() for name, weight in weights}, self.out / "mapping.safetensors")

    def write(self, row: dict[str, Any]) -> None:
        """Write a line."""
        row |= {"seconds": round(time.perf_counter() - self.started), "cpu_seconds": round(time.process_time())}
        with (self.out / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)

    def _mean_loss(self) -> float | None:
        losses, self.losses = self.losses, []
        return round(float(np.mean(losses)), 4) if losses else None


def _save(state: Any, file: Path) -> None:
    torch.save(state, file.with_suffix(".partial"))
    file.with_suffix(".partial").replace(file)


def fitted(
    loaded: LoadedModel, train: PackedSplit, facts: Facts, log: Log, token_steps: int, fit_steps: int, seed: int
) -> dict[str, torch.Tensor]:
    """Return the weights of the mapping module after the first two stages, which are stored in OUT."""
    file = log.out / "fitted.pt"
    if not file.exists():
        training = TokenTraining(loaded, train, facts, token_steps, seed)
        if (state := log.out / "tokens.pt").exists():
            training.go_on(torch.load(state, weights_only=False))
        tokens = training.until(token_steps, log.of_tokens)
        rows = sorted(facts.of_image)
        with torch.no_grad():
            targets = torch.stack([tokens.of(facts.of_image[row]) for row in rows])
        mapping = projector(loaded).float()
        initialize(mapping, float(loaded.model.get_input_embeddings().weight.float().std()), seed)
        error = fit(mapping, train.features[rows].float(), targets, fit_steps, seed)
        log.write({"stage": "fit", "step": fit_steps, "relative_error": round(error, 4)})
        _save(mapping.state_dict(), file)
    weights: dict[str, torch.Tensor] = torch.load(file)
    return weights


def main() -> None:
    """Train the mapping module of the pretrained model and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="folder that `workers.pretrained build` wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--token-steps", type=int, default=400, help="steps of the first stage")
    parser.add_argument("--fit-steps", type=int, default=2000, help="steps of the second stage")
    parser.add_argument("--steps", type=int, default=300, help="steps of the third stage")
    parser.add_argument("--rate", type=float, default=1e-4, help="peak learning rate of the third stage")
    parser.add_argument("--max-train", type=int, default=10**6, help="maximum number of questions of `train`")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    loaded, train, tune = load(arguments.folder, arguments.max_train)
    facts, log = facts_of(train.samples, train.images), Log(arguments.out, tune)
    schedule = Schedule(
        steps=arguments.steps, peak_rate=arguments.rate, warm_up=20, decay=0.5, images=BALANCED, questions=5
    )
    log.write({"schedule": asdict(schedule), "seed": arguments.seed})
    start = fitted(loaded, train, facts, log, arguments.token_steps, arguments.fit_steps, arguments.seed)
    training = BalancedTraining(loaded, train, facts, schedule, arguments.seed, start)
    if (state := arguments.out / "state.pt").exists():
        training.go_on(torch.load(state, weights_only=False))
    else:
        log.examine(loaded, 0)
    training.until(schedule.steps, log)


if __name__ == "__main__":
    main()
