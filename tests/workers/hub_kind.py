"""How the processor and the config of a family are made, for `tests.workers.hub`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import transformers as hf

from workers.models.processor import NO_VIDEO, images_only

SIZE = {"height": 16, "width": 16}
TILES = [f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7)]
QWEN: dict[str, Any] = {
    "image": "<|image_pad|>",
    "specials": ("<|video_pad|>", "<|vision_start|>", "<|vision_end|>"),
    "placeholder": "<|vision_start|><|image_pad|><|vision_end|>",
}


@dataclass(frozen=True)
class Kind:
    """How a family's processor is made."""

    processor: Callable[[Any, str], Any]
    """From a tokenizer and a chat template."""
    image: str = "<image>"
    """What stands for one visual token."""
    specials: tuple[str, ...] = ()
    placeholder: str | None = None
    """What its chat template writes for an image; None for the visual token."""
    named: dict[str, str] = field(default_factory=dict)
    """Names the tokenizer knows some of its special tokens by."""
    template: bool = True
    config: dict[str, Any] = field(default_factory=dict)
    """What differs from the zoo's config."""


def clip(**options: Any) -> Any:
    return hf.CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=SIZE, **options)


def video_free(kind: str, *parts: Any, **options: Any) -> Any:
    with images_only():
        processor = getattr(hf, kind)(*parts, **options)
    processor.video_processor = NO_VIDEO
    return processor
