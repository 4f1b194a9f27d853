"""Trains the embedded model: `python -m workers.embedded.training.recipe --seed 0 --out DIR`.

1. sight:   the vision tower learns digit, color and cell of each patch; its classification heads are discarded.
2. shallow: projector and a language model of four blocks learn the questions; kinds without progress are drawn more
            often.
3. deep:    each block is replaced by three or four that divide its heads and FFN channels; all are trained briefly,
            enough to be accurate again, but not until every single block has become dispensable.
4. mapping: vision tower and language model are frozen; only the projector is trained, as in a trial.

Training is deterministic for a seed on one machine. Finished stages are stored in `DIR/stages` and not repeated.
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
from workers.embedded.questions import KINDS
from workers.embedded.training.curriculum import Curriculum, draw_images
from workers.embedded.training.exams import accuracy_by_kind, grade
from workers.embedded.training.network import build_model, read, see, unfold
from workers.embedded.words import PATCH_SIZE, build_processor


@dataclass(frozen=True)
class Stage:
    """Number of steps, peak learning rate, and number of images per step of a stage."""

    steps: int
    peak_rate: float
    images: int


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The four stages; in all but the first, each image has eight questions."""

    sight: Stage = Stage(3000, 2e-3, images=64)
    shallow: Stage = Stage(1800, 1e-3, images=32)
    deep: Stage = Stage(300, 5e-4, images=16)
    mapping: Stage = Stage(50, 5e-4, images=16)
    steps_between_exams: int = 100


UNFOLDED = {
    12: (
        ((3, 43), (2, 85), (1, 128)),
        ((2, 43), (3, 85), (1, 128)),
        ((4, 43), (1, 85), (1, 128)),
        ((4, 43), (1, 85), (1, 128)),
    ),
    14: (
        ((2, 64), (2, 64), (1, 64), (1, 64)),
        ((3, 85), (2, 86), (1, 85)),
        ((3, 85), (2, 86), (1, 85)),
        ((2, 64), (2, 64), (1, 64), (1, 64)),
    ),
}
"""Depth -> per shallow block, the numbers of heads and FFN channels of each deep block that replaces it.

The embedded model has 12 blocks. The other depth is used by `benchmarks.strategies`.
"""
NUM_PATCH_CLASSES = [10, len(COLORS), len(CELLS)]
STUCK_BELOW, STUCK_WEIGHT = 0.9, 4.5
"""Accuracy on `tune` below which a kind of question is drawn more often, and the factor by which."""


class Recipe:
    """The model, its data and the four stages; each stage has its own seed, so that training can be resumed."""

    def __init__(self, schedule: Schedule, seed: int, out: Path, num_blocks: int = 12):
        self.schedule, self.seed, self.out, self.shares = schedule, seed, out, UNFOLDED[num_blocks]
        self.processor = build_processor()
        torch.manual_seed(seed)
        self.model = build_model(len(self.shares), self.processor)
        self.curriculum = Curriculum(self.processor, self.model.config.image_seq_length)
        self.tune = embedded_samples("tune")
        self.tune_pixels, self.tune_batches = self.curriculum.exam(self.tune)

    def run(self) -> None:
        """Run all stages without a stored result, then save the checkpoint in float16."""
        (self.out / "stages").mkdir(parents=True, exist_ok=True)
        self._once(1, self.sight, self.schedule.sight)
        self._once(2, self.shallow, self.schedule.shallow)
        unfold(self.model, self.shares)
        self._once(3, self.deep, self.schedule.deep)
        self._once(4, self.mapping, self.schedule.mapping)
        save(self.model, self.processor, self.out)

    def _once(self, number: int, train: Callable[[Stage], None], stage: Stage) -> None:
        file = self.out / "stages" / f"{number}-{train.__name__}.pt"
        if file.exists():
            self.model.load_state_dict(torch.load(file))
            return
        torch.manual_seed(self.seed + number)
        self.rng = np.random.default_rng([self.seed, number])
        self.weights = dict.fromkeys(KINDS, 1.0)
        started = time.perf_counter()
        train(stage)
        print(f"{train.__name__} took {time.perf_counter() - started:.0f} s", flush=True)
        torch.save(self.model.state_dict(), file)

    def sight(self, stage: Stage) -> None:
        """Train the vision tower to classify the patches of images."""
        tower = self.model.model.vision_tower
        heads = nn.Linear(tower.config.hidden_size, sum(NUM_PATCH_CLASSES))

        def loss() -> Tensor:
            scenes, pixels = draw_images(self.rng, stage.images)
            outputs = heads(see(self.model, pixels)).flatten(0, 1).split(NUM_PATCH_CLASSES, dim=-1)
            pairs = zip(outputs, patch_classes(scenes), strict=True)
            return torch.stack([F.cross_entropy(output, target) for output, target in pairs]).sum()

        fit([*tower.parameters(), *heads.parameters()], loss, stage)

    def shallow(self, stage: Stage) -> None:
        """Train projector and shallow language model on the questions."""
        fit(self._language_parameters(), lambda: self._loss(stage), stage, after=self._examine)

    def deep(self, stage: Stage) -> None:
        """Train projector and unfolded language model on the questions."""
        fit(self._language_parameters(), lambda: self._loss(stage), stage, after=self._examine)

    def mapping(self, stage: Stage) -> None:
        """Train the projector alone on the questions."""
        projector = self.model.model.multi_modal_projector.parameters()
        fit(projector, lambda: self._loss(stage), stage, after=self._examine)

    def _language_parameters(self) -> list[nn.Parameter]:
        frozen = {id(parameter) for parameter in self.model.model.vision_tower.parameters()}
        return [parameter for parameter in self.model.parameters() if id(parameter) not in frozen]

    def _loss(self, stage: Stage) -> Tensor:
        """Return the cross-entropy of the answer tokens on a new batch."""
        pixels, batch = self.curriculum.draw(self.rng, stage.images, self.weights)
        with torch.no_grad():
            features = see(self.model, pixels)
        return F.cross_entropy(read(self.model, features, batch), batch.labels[batch.labels >= 0])

    def _examine(self, step: int, loss: float) -> None:
        """Evaluate on `tune` at intervals, log the accuracy, and increase the weight of kinds without progress."""
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
    stage: Stage,
    after: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Minimize a loss by AdamW, with linear warm-up over 100 steps and linear decay over the last third.

    Args:
        parameters: the parameters to train.
        loss_of_step: returns the loss of a new batch.
        stage: steps and peak learning rate.
        after: called after every step with its number and loss.
    """
    parameters = list(parameters)
    optimizer = torch.optim.AdamW(parameters, betas=(0.9, 0.98), weight_decay=0.05)
    for step in range(stage.steps):
        rise, fall = (step + 1) / 100, (stage.steps - step) / (stage.steps / 3)
        optimizer.param_groups[0]["lr"] = stage.peak_rate * min(1.0, rise, fall)
        loss = loss_of_step()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        after(step, loss.item())


def patch_classes(scenes: Sequence[Scene]) -> tuple[Tensor, Tensor, Tensor]:
    """Return digit, color and cell of each patch, row by row, as three (scenes * patches,) int64 tensors."""
    side = IMAGE_SIZE // PATCH_SIZE
    cell = torch.tensor([2 * (2 * row // side) + 2 * column // side for row, column in np.ndindex(side, side)])
    names = list(COLORS)
    digits = torch.tensor([scene.digits for scene in scenes])
    colors = torch.tensor([[names.index(color) for color in scene.colors] for scene in scenes])
    return digits[:, cell].flatten(), colors[:, cell].flatten(), cell.repeat(len(scenes))


def save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> None:
    """Write the checkpoint for stock `from_pretrained`, with weights in float16."""
    copy.deepcopy(model).half().save_pretrained(folder)
    processor.save_pretrained(folder)


def main() -> None:
    """Train the embedded model and write its folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--blocks", type=int, choices=list(UNFOLDED), default=12)
    parser.add_argument("--out", type=Path, required=True, help="folder for stages and checkpoint")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    Recipe(Schedule(), arguments.seed, arguments.out, arguments.blocks).run()


if __name__ == "__main__":
    main()
