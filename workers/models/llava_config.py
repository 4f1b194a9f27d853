"""Determines the shape of a LLaVA model from its `config.json` alone, so that its dry run needs no torch.

It applies to models with a CLIP vision tower and a Llama decoder. All other models are built without weights, by
`workers.models.count_on_meta`, which gives the same sizes and FLOPs for a LLaVA.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spaces.shape import ModelShape, VisionShape

Config = Mapping[str, Any]

DEFAULTS: dict[str, Config] = {
    "llava": {"vision_feature_layer": -2, "vision_feature_select_strategy": "default", "tie_word_embeddings": False},
    "llama": {
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "intermediate_size": 11008,
        "vocab_size": 32000,
    },
    "clip_vision_model": {
        "num_hidden_layers": 12,
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "num_channels": 3,
        "image_size": 224,
        "patch_size": 32,
    },
}
"""`model_type` -> default values of the keys that its `config.json` may omit."""
ABSENT: dict[str, Config] = {
    "text_config": {"model_type": "llama"},
    "vision_config": {
        "model_type": "clip_vision_model",
        "intermediate_size": 4096,
        "hidden_size": 1024,
        "patch_size": 14,
        "image_size": 336,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
    },
}
"""Key of a LLaVA config -> its value if it is absent."""


def is_llava(config: Config) -> bool:
    """Return True if a `config.json` is that of a LLaVA with a CLIP vision tower and a Llama decoder."""
    parts = (config, *(_part(config, key) for key in ABSENT))
    return [part.get("model_type") for part in parts] == list(DEFAULTS)


@dataclass(frozen=True)
class LlavaConfig:
    """The three parts of a LLaVA config, with every default filled in."""

    whole: Config
    text: Config
    vision: Config

    @classmethod
    def of(cls, config: Config) -> LlavaConfig:
        """Return the parts of a `config.json` for which `is_llava` holds."""
        parts = (config, *(_part(config, key) for key in ABSENT))
        return cls(*({**given, **_without_null(part)} for given, part in zip(DEFAULTS.values(), parts, strict=True)))

    def shape(self, bytes_per_parameter: int, num_parameters: int | None = None) -> ModelShape:
        """Return the shape of the model.

        Args:
            bytes_per_parameter: bytes per parameter.
            num_parameters: number of parameters in the weight files; None if unknown.
        """
        text, vision = self.text, self._vision_shape()
        keeps_class_token = self.whole["vision_feature_select_strategy"] != "default"
        return ModelShape(
            num_blocks=text["num_hidden_layers"],
            hidden_size=text["hidden_size"],
            num_heads=text["num_attention_heads"],
            num_kv_heads=text.get("num_key_value_heads") or text["num_attention_heads"],
            head_size=text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"],
            ffn_size=text["intermediate_size"],
            gated_ffn=True,
            vocab_size=text["vocab_size"],
            vision=vision,
            projector=self._projector(vision.hidden_size),
            visual_tokens_per_image=vision.num_positions if keeps_class_token else vision.num_patches,
            bytes_per_parameter=bytes_per_parameter,
            num_parameters=num_parameters,
            tie_embeddings=bool(self.whole["tie_word_embeddings"] or text.get("tie_word_embeddings")),
        )

    def _vision_shape(self) -> VisionShape:
        vision = self.vision
        return VisionShape(
            num_layers=vision["num_hidden_layers"],
            hidden_size=vision["hidden_size"],
            num_heads=vision["num_attention_heads"],
            ffn_size=vision["intermediate_size"],
            num_channels=vision["num_channels"],
            image_size=_side(vision["image_size"]),
            patch_size=_side(vision["patch_size"]),
        )

    def _projector(self, vision_width: int) -> tuple[tuple[int, int], ...]:
        """Return the sizes of the two linear layers, the first on the concatenated feature layers of the tower."""
        layers, width = self.whole["vision_feature_layer"], self.text["hidden_size"]
        num_layers = 1 if isinstance(layers, int) else len(layers)
        return ((vision_width * num_layers, width), (width, width))


def _part(config: Config, key: str) -> Config:
    """Return the text or vision config in a LLaVA config; its `model_type` defaults to the usual one."""
    part: Config = config.get(key) or ABSENT[key]
    return {"model_type": ABSENT[key]["model_type"], **part}


def _without_null(config: Config) -> Config:
    return {key: value for key, value in config.items() if value is not None}


def _side(value: int | list[int]) -> int:
    """Return an image or patch size in pixels; [height, width] must be square."""
    if isinstance(value, int):
        return value
    if len(set(value)) != 1:
        raise ValueError(f"images and patches must be square, got {value} in the vision config: use a square size")
    return value[0]
