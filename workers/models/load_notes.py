"""Determines, without weights, in what loading and exporting a model will differ from the request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workers.models.attention_choice import Attention, with_attention
from workers.models.load_model import load_or_value_error
from workers.models.meta_model import META, read_auto_config
from workers.models.processor import NO_VIDEO, load_processor
from workers.sources import ModelSource


def notes_without_weights(source: ModelSource) -> list[str]:
    """Return lines for the user on parts loaded with another attention than requested, and on refused exports."""
    return [*_attention(source), *_refused_exports(source)]


def _attention(source: ModelSource) -> Iterator[str]:
    from transformers import AutoModelForImageTextToText

    def build(attention: Attention) -> Any:
        config = read_auto_config(source)  # building writes the attention into it
        with META:
            return AutoModelForImageTextToText.from_config(
                config, attn_implementation=attention, trust_remote_code=source.trust_remote_code
            )

    _, line = load_or_value_error(
        source, lambda: with_attention(read_auto_config(source), source.attn_implementation, build)
    )
    if line is not None:
        yield f"loaded with {line}"


def _refused_exports(source: ModelSource) -> Iterator[str]:
    from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    processor = load_or_value_error(source, lambda: load_processor(source))
    if getattr(processor, "video_processor", None) is NO_VIDEO:
        yield "export is refused until torchvision is installed, which the video part of the processor needs"
    if type(read_auto_config(source)) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        yield "only plans that skip whole blocks can be exported: the model's code is not part of transformers"
