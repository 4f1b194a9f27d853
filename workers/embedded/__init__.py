"""The embedded model and its data set, for searches without downloads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from workers.data.sample import Sample
from workers.embedded.digits import draw_scene, render
from workers.embedded.questions import KINDS
from workers.sources import Split

NUM_IMAGES: dict[Split, int] = {"train": 512, "tune": 64, "search": 128, "test": 256}
"""Number of images per split; every image has one question of each kind."""


def embedded_path() -> Path:
    """Return the folder of the embedded model and its processor."""
    return Path(__file__).parent / "checkpoint"


def embedded_samples(split: Split) -> list[Sample]:
    """Return the questions of a split, always the same, ordered by image."""
    rng = np.random.default_rng([1, list(NUM_IMAGES).index(split)])
    scenes = [draw_scene(split, rng) for _ in range(NUM_IMAGES[split])]
    samples = []
    for number, (scene, pixels) in enumerate(zip(scenes, render(scenes, rng), strict=True)):
        image = Image.fromarray(pixels)
        for kind, ask in KINDS.items():
            question, answer = ask(scene, rng)
            samples.append(Sample(image, f"{split}-{number}", question, (answer,), kind))
    return samples
