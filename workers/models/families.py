"""Tables of model families: the meaning of their config keys. `blocks/anatomy.py` finds the parts of a model.

A new family is a new row here, not a new branch elsewhere. Imports no torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from spaces.names import unknown

T = TypeVar("T")
Config = Mapping[str, Any]
_TRANSFORMER_KEYS = {
    "num_blocks": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "num_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "head_size": "head_dim",
    "ffn_size": "intermediate_size",
    "vocab_size": "vocab_size",
}


@dataclass(frozen=True, kw_only=True)
class DecoderFamily:
    """A text decoder of pre-norm residual blocks: h = x + attention(norm x), y = h + ffn(norm h)."""

    gated_ffn: bool = True
    keys: Mapping[str, str] = field(default_factory=_TRANSFORMER_KEYS.copy)
    """Field of `ModelShape` -> key of the text config."""
    is_parallel: bool = False
    """True if the family itself feeds attention and FFN with the same input."""
    defaults: Config | None = None
    """Defaults of the config class for keys missing from `config.json`; None to read them from the class itself."""


@dataclass(frozen=True, kw_only=True)
class VisionFamily:
    """A vision transformer with a two-layer FFN."""

    has_class_token: bool
    keys: Mapping[str, str]
    """Field of `VisionShape` -> key of the vision config."""
    defaults: Config


@dataclass(frozen=True, kw_only=True)
class ModelFamily:
    """A vision-language model whose vision tower and mapping module have a closed form."""

    defaults: Config
    default_text: Config
    """The text config if `config.json` has none."""
    default_vision: Config
    projector_layers: Callable[[Config, Config, Config], tuple[tuple[int, int], ...]]
    """(whole, text, vision config) -> (inputs, outputs) of every linear layer of the projector."""
    visual_tokens: Callable[[Config, int, int], int]
    """(whole config, patches, positions of the tower) -> visual tokens of one image."""
    text_key: str = "text_config"
    vision_key: str = "vision_config"


def _llava_projector(config: Config, text: Config, vision: Config) -> tuple[tuple[int, int], ...]:
    """Return the sizes of the two linear layers on the concatenated feature layers."""
    layers = config["vision_feature_layer"]
    num_layers = 1 if isinstance(layers, int) else len(layers)
    width = text["hidden_size"]
    return ((vision["hidden_size"] * num_layers, width), (width, width))


def _llava_visual_tokens(config: Config, num_patches: int, num_positions: int) -> int:
    """Return the visual tokens of one image; strategy `default` drops the class token, `full` keeps it."""
    return num_patches if config["vision_feature_select_strategy"] == "default" else num_positions


_VIT_KEYS = {
    "num_layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "num_heads": "num_attention_heads",
    "ffn_size": "intermediate_size",
    "num_channels": "num_channels",
    "image_size": "image_size",
    "patch_size": "patch_size",
}

DECODERS: dict[str, DecoderFamily] = {
    "llama": DecoderFamily(
        defaults={
            "num_hidden_layers": 32,
            "hidden_size": 4096,
            "num_attention_heads": 32,
            "intermediate_size": 11008,
            "vocab_size": 32000,
        },
    ),
    "mistral": DecoderFamily(),
    "qwen2": DecoderFamily(),
    "qwen3": DecoderFamily(),
    "qwen2_vl_text": DecoderFamily(),
    "qwen2_5_vl_text": DecoderFamily(),
    "qwen3_vl_text": DecoderFamily(),
    "gemma": DecoderFamily(),
    "gemma2": DecoderFamily(),
    "gemma3_text": DecoderFamily(),
    "mllama_text_model": DecoderFamily(),
    "mixtral": DecoderFamily(),
    "qwen2_moe": DecoderFamily(),
    "qwen3_moe": DecoderFamily(),
    "qwen3_vl_moe_text": DecoderFamily(),
    "phi3": DecoderFamily(),
    "smollm3": DecoderFamily(),
    "cohere2": DecoderFamily(is_parallel=True),
    "opt": DecoderFamily(
        gated_ffn=False,
        keys={**_TRANSFORMER_KEYS, "num_kv_heads": "num_attention_heads", "ffn_size": "ffn_dim"},
    ),
}
"""`model_type` of the text config -> its row."""

VISION_TOWERS: dict[str, VisionFamily] = {
    "clip_vision_model": VisionFamily(
        has_class_token=True,
        keys=_VIT_KEYS,
        defaults={
            "num_hidden_layers": 12,
            "hidden_size": 768,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "num_channels": 3,
            "image_size": 224,
            "patch_size": 32,
        },
    ),
}
"""`model_type` of the vision config -> its row."""

MODELS: dict[str, ModelFamily] = {
    "llava": ModelFamily(
        defaults={
            "vision_feature_layer": -2,
            "vision_feature_select_strategy": "default",
            "tie_word_embeddings": False,
        },
        default_text={"model_type": "llama"},
        default_vision={
            "model_type": "clip_vision_model",
            "intermediate_size": 4096,
            "hidden_size": 1024,
            "patch_size": 14,
            "image_size": 336,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
        },
        projector_layers=_llava_projector,
        visual_tokens=_llava_visual_tokens,
    ),
}
"""`model_type` of the whole config -> its row."""


@dataclass(frozen=True, kw_only=True)
class Families:
    """The three rows that describe one model, and its config with every default filled in."""

    model: ModelFamily
    decoder: DecoderFamily
    vision: VisionFamily
    config: Config = field(repr=False)
    text: Config = field(repr=False)
    vision_config: Config = field(repr=False)


def has_rows(config: Config) -> bool:
    """Return True if rows describe the whole model, so that its `config.json` determines all its sizes."""
    model = MODELS.get(config.get("model_type", ""))
    if model is None:
        return False
    text = config.get(model.text_key) or model.default_text
    vision = config.get(model.vision_key) or model.default_vision
    decoder = DECODERS.get(text.get("model_type", model.default_text["model_type"]))
    tower = vision.get("model_type", model.default_vision["model_type"])
    return decoder is not None and decoder.defaults is not None and tower in VISION_TOWERS


def decoder_sizes(row: DecoderFamily, text: Config) -> dict[str, Any]:
    """Return the fields of `ModelShape` that a text config, with defaults filled in, determines."""
    sizes: dict[str, Any] = {field: text.get(key) for field, key in row.keys.items()}
    return {
        **sizes,
        "num_kv_heads": sizes["num_kv_heads"] or sizes["num_heads"],
        "head_size": sizes["head_size"] or sizes["hidden_size"] // sizes["num_heads"],
        "gated_ffn": row.gated_ffn,
    }


def families_of(config: Config) -> Families:
    """Return the rows for a `config.json`, by its `model_type` and those of its text and vision configs.

    Raises:
        ValueError: a part has no row; the message names it.
    """
    model = _row("model family", MODELS, config.get("model_type"))
    text = config.get(model.text_key) or model.default_text
    vision = config.get(model.vision_key) or model.default_vision
    decoder = _row("text decoder", DECODERS, text.get("model_type", model.default_text["model_type"]))
    tower = _row("vision tower", VISION_TOWERS, vision.get("model_type", model.default_vision["model_type"]))
    return Families(
        model=model,
        decoder=decoder,
        vision=tower,
        config=_filled(config, model.defaults),
        text=_filled(text, decoder.defaults or {}),
        vision_config=_filled(vision, tower.defaults),
    )


def _row(kind: str, table: Mapping[str, T], name: Any) -> T:
    if name not in table:
        raise unknown(kind, name, table, "other families need a row in workers/models/families.py")
    return table[name]


def _filled(config: Config, defaults: Config) -> dict[str, Any]:
    """Return the config with defaults for keys that are absent or null."""
    return {**defaults, **{key: value for key, value in config.items() if value is not None}}
