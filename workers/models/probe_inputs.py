"""Makes the inputs on which a model is run to find its parts: two pictures with questions."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from workers.models.chat_template import PromptEncoder

QUESTIONS = ("What is this?", "Is it a red one, or are there two of them?")
ANSWERS = ("red", "yes, it is")
SIZES = ((64, 64), (40, 120))
"""(width, height) in pixels; different, to detect models whose visual tokens depend on the image size."""


def pictures() -> list[Image.Image]:
    """Return one image of fixed random noise per entry of `SIZES`."""
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in SIZES]


def probe_inputs(prompt_encoder: PromptEncoder) -> list[dict[str, Any]]:
    """Return a batch of both pictures, each with its question, then each picture alone with the other question."""
    seen = pictures()
    alone = zip(QUESTIONS[::-1], seen, strict=True)
    return [
        prompt_encoder.inputs(QUESTIONS, seen),
        *(prompt_encoder.inputs([question], [picture]) for question, picture in alone),
    ]
