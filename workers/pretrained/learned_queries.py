"""Builds and writes model folders with the source paper's mapping module, whose code travels in the folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workers.pretrained import modeling_learned_queries
from workers.pretrained.modeling_learned_queries import (
    LearnedQueries,
    LearnedQueriesConfig,
    LearnedQueriesForConditionalGeneration,
)

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


@torch.no_grad()
def initialize(mapping: LearnedQueries, scale: float, seed: int) -> None:
    """Initialize the mapping module at random, with outputs at the scale of token embeddings.

    Args:
        mapping: the mapping module, changed in place.
        scale: standard deviation of token embeddings.
        seed: seed of the random numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in mapping.modules():
        if isinstance(module, nn.Linear):
            gain = scale if module is mapping.output else 1.0
            module.weight.normal_(0, gain / module.in_features**0.5, generator=generator)
            module.bias.zero_()
    mapping.queries.normal_(generator=generator)


def write_folder(model: LearnedQueriesForConditionalGeneration, processor: Any, folder: Path) -> None:
    """Write model, processor and modeling file, for `from_pretrained(folder, trust_remote_code=True)`."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    shutil.copyfile(modeling_learned_queries.__file__, folder / f"{MODULE}.py")
