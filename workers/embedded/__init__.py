"""The embedded model and its data set, for searches without downloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from workers.data.sample import Sample
from workers.embedded.chains import CHAINS
from workers.embedded.digits import Scene, draw_scene, render
from workers.embedded.questions import KINDS, Question
from workers.sources import Split

NUM_IMAGES: dict[Split, int] = {"train": 512, "tune": 64, "search": 128, "test": 256}
"""Number of images per split; every image has one question of each kind."""


def embedded_path() -> Path:
    """Return the folder of the embedded model and its processor."""
    return Path(__file__).parent / "checkpoint"


def embedded_samples(split: Split) -> list[Sample]:
    """Return the questions of a split, always the same, ordered by image."""
    return _samples(split, KINDS, seed=1)


def chain_samples(split: Split) -> list[Sample]:
    """Return the questions of a split that need several steps, always the same, ordered by image; other images."""
    return _samples(split, CHAINS, seed=2)


def _samples(
    split: Split, kinds: Mapping[str, Callable[[Scene, np.random.Generator], Question]], seed: int
) -> list[Sample]:
    rng = np.random.default_rng([seed, list(NUM_IMAGES).index(split)])
    scenes = [draw_scene(split, rng) for _ in range(NUM_IMAGES[split])]
    samples = []
    for number, (scene, pixels) in enumerate(zip(scenes, render(scenes, rng), strict=True)):
        image = Image.fromarray(pixels)
        for kind, ask in kinds.items():
            question, answer = ask(scene, rng)
            samples.append(Sample(image, f"{split}-{number}", question, (answer,), kind))
    return samples
