"""Trains the embedded model for questions of several steps: `python -m workers.embedded.training.chains --out DIR`.

Training starts from the embedded model, whose vocabulary gets further words. Its vision tower stays frozen, since the
images are alike; language model and projector are trained on `CHAINS`, then the projector alone, as in `recipe`.
Kinds without progress are drawn more often. `DIR/curve.jsonl` has the accuracy of each kind on `tune`. The
checkpoint is also saved at every exam.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlavaForConditionalGeneration

from workers.embedded import chain_samples, embedded_path
from workers.embedded.chains import CHAIN_WORDS, CHAINS
from workers.embedded.training.curriculum import Curriculum
from workers.embedded.training.exams import accuracy_by_kind, grade
from workers.embedded.training.network import read, see
from workers.embedded.training.recipe import STUCK_BELOW, STUCK_WEIGHT, Stage, fit, save
from workers.embedded.words import build_processor

LANGUAGE, MAPPING = Stage(1000, 1e-3, images=8), Stage(50, 5e-4, images=8)
STEPS_BETWEEN_EXAMS = 100


class Chains:
    """The model, its data and the two stages."""

    def __init__(self, seed: int, out: Path):
        self.out, self.rng = out, np.random.default_rng([seed, 5])
        torch.manual_seed(seed + 5)
        self.processor = build_processor(CHAIN_WORDS)
        self.model = LlavaForConditionalGeneration.from_pretrained(embedded_path(), dtype=torch.float32).eval()
        self.model.resize_token_embeddings(len(self.processor.tokenizer))
        self.curriculum = Curriculum(self.processor, self.model.config.image_seq_length, CHAINS)
        self.tune = chain_samples("tune")
        pixels, self.tune_batches = self.curriculum.exam(self.tune)
        with torch.no_grad():
            self.tune_features = see(self.model, pixels)
        self.weights = dict.fromkeys(CHAINS, 1.0)
        self.started = time.process_time()

    def run(self, language: Stage = LANGUAGE, mapping: Stage = MAPPING) -> None:
        """Run both stages, then save the checkpoint in float16."""
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "curve.jsonl").write_text("")
        self.model.requires_grad_(True)
        self.model.model.vision_tower.requires_grad_(False)
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        fit(trained, lambda: self._loss(language), language, after=self._examine)
        fit(self.model.model.multi_modal_projector.parameters(), lambda: self._loss(mapping), mapping)
        self._record("mapping", mapping.steps, 0.0)
        save(self.model, self.processor, self.out)

    def _loss(self, stage: Stage) -> Tensor:
        pixels, batch = self.curriculum.draw(self.rng, stage.images, self.weights)
        with torch.no_grad():
            features = see(self.model, pixels)
        return F.cross_entropy(read(self.model, features, batch), batch.targets)

    def _examine(self, step: int, loss: float) -> None:
        if (step + 1) % STEPS_BETWEEN_EXAMS == 0:
            self._record("language", step + 1, loss)
            save(self.model, self.processor, self.out)

    def _record(self, stage: str, step: int, loss: float) -> None:
        """Evaluate on `tune`, log the accuracy of each kind, and increase the weight of kinds without progress."""
        right = grade(lambda batch: read(self.model, self.tune_features, batch), self.tune_batches)
        accuracy = accuracy_by_kind(self.tune, right)
        self.weights = {kind: STUCK_WEIGHT if share < STUCK_BELOW else 1.0 for kind, share in accuracy.items()}
        seconds = round(time.process_time() - self.started)
        line = json.dumps({"stage": stage, "step": step, "seconds": seconds, "loss": round(loss, 4), **accuracy})
        with (self.out / "curve.jsonl").open("a") as file:
            file.write(f"{line}\n")
        print(line, flush=True)


def main() -> None:
    """Train the model for questions of several steps, and write its folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=LANGUAGE.steps, help="steps of the language model")
    parser.add_argument("--out", type=Path, required=True, help="folder for curve and checkpoint")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    Chains(arguments.seed, arguments.out).run(Stage(arguments.steps, LANGUAGE.peak_rate, LANGUAGE.images))


if __name__ == "__main__":
    main()
