"""How the embedded model was trained: `python -m workers.embedded.recipe --seed 0 --out DIR`.

1. sight:   the vision tower learns to name digit, color and cell of every patch; its heads are thrown away.
2. shallow: projector and a shallow language model learn the questions; kinds that are stuck are asked more
often.
3. deep:    near-identity blocks go between the trained ones and all train on under layer drop, so that blocks
            share the work unevenly and none is idle.
4. mapping: vision tower and language model are frozen; only the projector trains, as in every search trial.

Deterministic for a seed on one machine. Every finished stage is kept in `DIR/stages` and not repeated.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from workers.embedded import embedded_samples
from workers.embedded.digits import CELLS, COLORS, IMAGE_SIZE, Scene
from workers.embedded.exams import accuracy_by_kind, grade
from workers.embedded.lessons import Lessons, draw_images
from workers.embedded.network import Gates, build_model, deepen, read, see
from workers.embedded.questions import KINDS
from workers.embedded.words import PATCH_SIZE, build_processor


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Steps and peak learning rate of every stage."""

    sight: tuple[int, float] = (3000, 2e-3)
    shallow: tuple[int, float] = (2000, 1e-3)
    deep: tuple[int, float] = (2400, 1e-3)
    mapping: tuple[int, float] = (200, 5e-4)
    images: int = 32
    """Per step, with eight questions each."""
    sight_images: int = 64
    steps_between_exams: int = 100


NUM_SHALLOW_BLOCKS = 4
DAMPING = 0.1
"""Scale of the output weights of an inserted block: near identity, not identity, so that it finds work."""
DROP_RATES = (0.02, 0.10, 0.25, 0.05, 0.15, 0.30, 0.05, 0.10, 0.25, 0.05, 0.15, 0.30)
"""Per block of the deep model: chance that a step runs without it, and half of that per sub-layer."""
NUM_PATCH_CLASSES = [10, len(COLORS), len(CELLS)]
STUCK_BELOW, STUCK_WEIGHT = 0.9, 4.5
"""Kinds below this accuracy on `tune` are asked that many times as often, which breaks plateaus sooner."""


class Recipe:
    """The model, its data and the four stages. Every stage draws from its own seed, so it can be resumed."""

    def __init__(self, schedule: Schedule, seed: int, out: Path):
        self.schedule, self.seed, self.out = schedule, seed, out
        self.processor = build_processor()
        torch.manual_seed(seed)
        self.model = build_model(NUM_SHALLOW_BLOCKS, self.processor)
        self.lessons = Lessons(self.processor, self.model.config.image_seq_length)
        self.tune = embedded_samples("tune")
        self.tune_pixels, self.tune_batches = self.lessons.exam(self.tune)
        self.weights = dict.fromkeys(KINDS, 1.0)

    def run(self) -> None:
        """All stages, each skipped when its result is already there; then the checkpoint, in float16."""
        (self.out / "stages").mkdir(parents=True, exist_ok=True)
        for number, stage in enumerate((self.sight, self.shallow, self.deep, self.mapping), start=1):
            if stage == self.deep:
                torch.manual_seed(self.seed)
                deepen(self.model, len(DROP_RATES), self.processor, DAMPING)
            self._once(self.out / "stages" / f"{number}-{stage.__name__}.pt", stage, number)
        save(self.model, self.processor, self.out)

    def _once(self, file: Path, stage: Callable[[], None], number: int) -> None:
        if file.exists():
            self.model.load_state_dict(torch.load(file))
            return
        torch.manual_seed(self.seed + number)
        self.rng = np.random.default_rng([self.seed, number])
        started = time.perf_counter()
        stage()
        print(f"{stage.__name__} took {time.perf_counter() - started:.0f} s", flush=True)
        torch.save(self.model.state_dict(), file)

    def sight(self) -> None:
        tower = self.model.model.vision_tower
        heads = nn.Linear(tower.config.hidden_size, sum(NUM_PATCH_CLASSES))

        def loss() -> Tensor:
            scenes, pixels = draw_images(self.rng, self.schedule.sight_images)
            outputs = heads(see(self.model, pixels)).flatten(0, 1).split(NUM_PATCH_CLASSES, dim=-1)
            pairs = zip(outputs, patch_classes(scenes), strict=True)
            return torch.stack([F.cross_entropy(output, target) for output, target in pairs]).sum()

        fit([*tower.parameters(), *heads.parameters()], loss, *self.schedule.sight)

    def shallow(self) -> None:
        fit(self._language_parameters(), self._loss, *self.schedule.shallow, after=self._examine)

    def deep(self) -> None:
        def loss() -> Tensor:
            return self._loss(draw_gates(self.rng))

        fit(self._language_parameters(), loss, *self.schedule.deep, after=self._examine)

    def mapping(self) -> None:
        projector = self.model.model.multi_modal_projector.parameters()
        fit(projector, self._loss, *self.schedule.mapping, after=self._examine)

    def _language_parameters(self) -> list[nn.Parameter]:
        frozen = {id(parameter) for parameter in self.model.model.vision_tower.parameters()}
        return [parameter for parameter in self.model.parameters() if id(parameter) not in frozen]

    def _loss(self, gates: Gates | None = None) -> Tensor:
        pixels, batch = self.lessons.draw(self.rng, self.schedule.images, self.weights)
        with torch.no_grad():
            features = see(self.model, pixels)
        with torch.autocast("cpu", torch.bfloat16):
            logits = read(self.model, features, batch, gates)
        return F.cross_entropy(logits.float(), batch.labels[batch.labels >= 0])

    def _examine(self, step: int, loss: float) -> None:
        if (step + 1) % self.schedule.steps_between_exams:
            return
        with torch.no_grad():
            features = see(self.model, self.tune_pixels)
        right = grade(lambda batch: read(self.model, features, batch), self.tune_batches)
        accuracy = accuracy_by_kind(self.tune, right)
        self.weights = {kind: STUCK_WEIGHT if share < STUCK_BELOW else 1.0 for kind, share in accuracy.items()}
        kinds = " ".join(f"{kind} {share:.2f}" for kind, share in accuracy.items())
        print(f"step {step + 1} loss {loss:.3f} all {right.mean():.3f} {kinds}", flush=True)


def fit(
    parameters: Iterable[nn.Parameter],
    loss_of_step: Callable[[], Tensor],
    num_steps: int,
    peak_rate: float,
    after: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """AdamW with linear warm-up over the first steps and linear decay over the last third."""
    parameters = list(parameters)
    optimizer = torch.optim.AdamW(parameters, betas=(0.9, 0.98), weight_decay=0.05)
    for step in range(num_steps):
        rise, fall = (step + 1) / min(100, num_steps), (num_steps - step) / (num_steps / 3)
        optimizer.param_groups[0]["lr"] = peak_rate * min(1.0, rise, fall)
        loss = loss_of_step()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        after(step, loss.item())


def patch_classes(scenes: Sequence[Scene]) -> tuple[Tensor, Tensor, Tensor]:
    """Digit, color and cell of every patch, row by row: three (scenes * patches,) int64."""
    side = IMAGE_SIZE // PATCH_SIZE
    cell = torch.tensor([2 * (2 * row // side) + 2 * column // side for row, column in np.ndindex(side, side)])
    names = list(COLORS)
    digits = torch.tensor([scene.digits for scene in scenes])
    colors = torch.tensor([[names.index(color) for color in scene.colors] for scene in scenes])
    return digits[:, cell].flatten(), colors[:, cell].flatten(), cell.repeat(len(scenes))


def draw_gates(rng: np.random.Generator) -> Gates:
    """Layer drop for one step: a block falls out whole by its rate, each sub-layer alone by half of it."""
    rates = np.array(DROP_RATES)[:, None]
    block, halves = rng.random((len(rates), 1)) >= rates, rng.random((len(rates), 2)) >= rates / 2
    return (block & halves).tolist()


def save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> None:
    """Write what stock `from_pretrained` loads, weights in float16."""
    copy.deepcopy(model).half().save_pretrained(folder)
    processor.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder for stages and checkpoint")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    Recipe(Schedule(), arguments.seed, arguments.out).run()


if __name__ == "__main__":
    main()
