"""Two pictures and two questions of our own: what is found out about a model by running it is found out on these."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from workers.models.processor import Asker

QUESTIONS = ("What is this?", "Is it a red one, or are there two of them?")
ANSWERS = ("red", "yes, it is")
SIZES = ((64, 64), (40, 120))
"""Width and height: of different shapes, so that a model that reads as many tokens as an image needs is seen to."""


def pictures() -> list[Image.Image]:
    """Noise, always the same."""
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in SIZES]


def probe_inputs(asker: Asker) -> list[dict[str, Any]]:
    """Each picture with a question as one batch; then every picture alone, with the other's question."""
    seen = pictures()
    alone = zip(QUESTIONS[::-1], seen, strict=True)
    return [asker.inputs(QUESTIONS, seen), *(asker.inputs([question], [picture]) for question, picture in alone)]
