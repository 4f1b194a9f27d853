"""Builds and writes model folders with the source paper's mapping module, whose code travels in the folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workers.pretrained import modeling_learned_queries
from workers.pretrained.modeling_learned_queries import LearnedQueriesConfig, LearnedQueriesForConditionalGeneration

MODULE = "modeling_learned_queries"
"""Name of the modeling file in the folder."""


def config_of(
    vision: Mapping[str, Any], text: Mapping[str, Any], image_token: int, **sizes: Any
) -> LearnedQueriesConfig:
    """Return the config, which names the classes of the modeling file.

    Args:
        vision: config of the vision tower, with `hidden_size`.
        text: config of the language model.
        image_token: id of the image placeholder.
        sizes: fields of `LearnedQueriesConfig` other than their defaults.
    """
    config = LearnedQueriesConfig(
        vision_config=dict(vision), text_config=dict(text), image_token_index=image_token, **sizes
    )
    config.image_seq_length = config.num_queries
    config.auto_map = {
        "AutoConfig": f"{MODULE}.{LearnedQueriesConfig.__name__}",
        "AutoModelForImageTextToText": f"{MODULE}.{LearnedQueriesForConditionalGeneration.__name__}",
    }
    return config


def write_folder(model: LearnedQueriesForConditionalGeneration, processor: Any, folder: Path) -> None:
    """Write model, processor and modeling file, for `from_pretrained(folder, trust_remote_code=True)`."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    shutil.copyfile(modeling_learned_queries.__file__, folder / f"{MODULE}.py")
