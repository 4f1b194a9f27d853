"""Trains the mapping module: `python -m workers.pretrained.training.recipe --folder DIR --out OUT`.

The cross-entropy of the answer tokens is minimized by AdamW, through the frozen language model, from random weights.
Features of the frozen vision tower are computed once, and questions about an image share its prefix. The language model
runs in bfloat16, which is three times faster than float32 on CPUs with AMX; the mapping module is trained in float32.

The shipped mapping module comes from four calls with the same OUT (`docs/experiments.md`, 2026-11-30):

    --images 6 --questions 8 --steps 1400 --until 100
    --steps 700 --until 550
    --steps 1000 --until 650
    --steps 710 --decay 0.0966 --max-train 4000

OUT receives `log.jsonl`, `mapping.safetensors` in float16, and the state from which the next call continues.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from workers.data.load_split import load_split
from workers.evaluation.evaluate import evaluate
from workers.inference.packed_batch import PackedBatch
from workers.inference.packed_forward import projector
from workers.inference.packed_split import PackedSplit, pack_split
from workers.models.load_model import load_model
from workers.models.loaded_model import LoadedModel
from workers.pretrained.model_folder import initialize
from workers.sources import DataSource, ModelSource

STEPS_BETWEEN_STATES = 50
"""Number of steps after which the state is saved."""
EXAM_QUESTIONS = 192
"""Number of questions of `tune` that are answered at every second saved state."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Number of steps, batch size and learning rate."""

    steps: int = 700
    peak_rate: float = 1e-3
    warm_up: int = 40
    """Steps of linear warm-up."""
    decay: float = 0.4
    """Fraction of the steps, at the end, over which the rate decays linearly to zero."""
    images: int = 12
    """Images per step."""
    questions: int = 4
    """Questions per image; at most half of them ask for a color or a shape, the others are answered by yes or no."""
    weight_decay: float = 0.01

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rise = (step + 1) / self.warm_up
        fall = (self.steps - step) / (self.decay * self.steps)
        return self.peak_rate * min(1.0, rise, fall)


class Training:
    """A mapping module in training, from scratch."""

    def __init__(self, loaded: LoadedModel, train: PackedSplit, schedule: Schedule, seed: int) -> None:
        self.loaded, self.train, self.schedule = loaded, train, schedule
        self.mapping = projector(loaded).float()
        initialize(self.mapping, float(loaded.model.get_input_embeddings().weight.float().std()), seed)
        self.rng = np.random.default_rng(seed)
        self.optimizer = torch.optim.AdamW(
            self.mapping.parameters(), betas=(0.9, 0.98), weight_decay=schedule.weight_decay
        )
        self.step = 0
        self._order: list[int] = []
        self._open: dict[int, list[int]] = defaultdict(list)
        self._closed: dict[int, list[int]] = defaultdict(list)
        for index, (sample, image) in enumerate(zip(train.samples, train.images, strict=True)):
            (self._closed if sample.answers[0] in ("yes", "no") else self._open)[image].append(index)

    def until(self, steps: int, after: Callable[[Training, float], None]) -> None:
        """Train up to a step, and call `after` with the loss of each step."""
        while self.step < steps:
            for group in self.optimizer.param_groups:
                group["lr"] = self.schedule.rate(self.step)
            batch = self.batch()
            loss = F.cross_entropy(self.train.answer_logits(self.loaded, batch), batch.targets)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.mapping.parameters(), 1.0)
            self.optimizer.step()
            self.step += 1
            after(self, loss.item())

    def batch(self) -> PackedBatch:
        """Return the questions of the next step."""
        return self.train.answer_batch(self.loaded, self.draw(), self.schedule.questions)

    def draw(self) -> list[int]:
        """Return the indices of questions about the images of the next step."""
        return [index for _ in range(self.schedule.images) for index in self._questions(self._next_image())]

    def _next_image(self) -> int:
        if not self._order:
            self._order = self.rng.permutation(sorted({*self._open, *self._closed})).tolist()
        return self._order.pop()

    def _questions(self, image: int) -> list[int]:
        asked = self.rng.permutation(self._open[image])[: self.schedule.questions // 2].tolist()
        more = self.rng.permutation(self._closed[image])[: self.schedule.questions - len(asked)].tolist()
        return [int(index) for index in [*asked, *more]]

    def state(self) -> dict[str, Any]:
        """Return the state from which another process can continue."""
        return {
            "mapping": self.mapping.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": self.rng.bit_generator.state,
            "order": self._order,
            "step": self.step,
        }

    def go_on(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.mapping.load_state_dict(state["mapping"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.bit_generator.state = state["rng"]
        known = max({*self._open, *self._closed})
        self._order, self.step = list(state["order"]), int(state["step"])
        if max(self._order, default=0) > known:  # of a larger training set
            self._order = []


class Log:
    """Writes loss and accuracy on `tune` as JSON lines, and saves the state of the training."""

    def __init__(self, out: Path, tune: PackedSplit, schedule: Schedule) -> None:
        self.out, self.tune, self.started = out, tune, time.perf_counter()
        self.losses: list[float] = []
        out.mkdir(parents=True, exist_ok=True)
        self._write({"schedule": asdict(schedule)})

    def __call__(self, training: Training, loss: float) -> None:
        self.losses.append(loss)
        if training.step % STEPS_BETWEEN_STATES == 0:
            self.examine(training, EXAM_QUESTIONS if training.step % (2 * STEPS_BETWEEN_STATES) == 0 else 0)
            torch.save(training.state(), self.out / "state.partial")
            (self.out / "state.partial").replace(self.out / "state.pt")

    def examine(self, training: Training, questions: int) -> None:
        """Write step, mean loss since the last line, and accuracy on the first questions of `tune`, if any."""
        row: dict[str, Any] = {"step": training.step, "loss": round(float(np.mean(self.losses or [0])), 4)}
        if questions:
            result = evaluate(training.loaded, self.tune, "exact_match", questions)
            row |= {"accuracy": result.accuracy, "by_kind": result.accuracy_by_kind, "questions": questions}
        self._write({**row, "seconds": round(time.perf_counter() - self.started), "cpu": round(time.process_time())})
        self.losses = []

    def _write(self, row: dict[str, Any]) -> None:
        with (self.out / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


def load(folder: Path, max_train: int) -> tuple[LoadedModel, PackedSplit, PackedSplit]:
    """Return the model, with its language model in bfloat16, and the packed splits `train` and `tune`.

    Args:
        folder: folder that `python -m workers.pretrained build` wrote.
        max_train: maximum number of training questions.
    """
    loaded = load_model(ModelSource(name=str(folder / "model"), dtype="float32", attn_implementation="eager"))
    source = DataSource(name=str(folder / "easy-vqa"), max_train=max_train)
    train, tune = (pack_split(loaded, load_split(source, name).samples) for name in ("train", "tune"))
    loaded.model.model.language_model.bfloat16()
    loaded.model.lm_head.bfloat16()
    loaded.model.tie_weights()
    return loaded, train, tune


def main() -> None:
    """Train the mapping module of the pretrained model and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="folder that `workers.pretrained build` wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=Schedule.steps)
    parser.add_argument("--images", type=int, default=Schedule.images, help="images per step")
    parser.add_argument("--questions", type=int, default=Schedule.questions, help="questions per image")
    parser.add_argument("--decay", type=float, default=Schedule.decay, help="share of the steps with a falling rate")
    parser.add_argument("--max-train", type=int, default=10**6, help="maximum number of questions of `train`")
    parser.add_argument("--until", type=int, help="step to stop at; the rate follows --steps")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    schedule = Schedule(
        steps=arguments.steps, images=arguments.images, questions=arguments.questions, decay=arguments.decay
    )
    loaded, train, tune = load(arguments.folder, arguments.max_train)
    training, log = Training(loaded, train, schedule, arguments.seed), Log(arguments.out, tune, schedule)
    if (state := arguments.out / "state.pt").exists():
        training.go_on(torch.load(state, weights_only=False))
    training.until(arguments.until or schedule.steps, log)
    log.examine(training, len(tune.samples))
    weights = {name: weight.half() for name, weight in training.mapping.state_dict().items()}
    save_file(weights, arguments.out / "mapping.safetensors")


if __name__ == "__main__":
    main()
