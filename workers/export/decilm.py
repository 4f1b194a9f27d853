"""Builds the language model of an export, without the vision tower, in the nemotron-nas form (`DeciLMForCausalLM`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from workers.blocks.anatomy import anatomy_of
from workers.export import modeling_decilm
from workers.export.part_paths import path_of
from workers.export.remote_code import auto_map
from workers.export.route import ZERO_CHANNELS, Route


def decilm(model: Any, text: Any, weights: dict[str, Tensor], route: Route) -> tuple[Any, type, dict[str, Tensor]]:
    """Return config, class and weights of the language model in nemotron-nas form.

    Args:
        model: the loaded model.
        text: the text config of the exported layers.
        weights: weights of the exported layers, by their names in the whole model.
        route: the form of the export.
    """
    kind = modeling_decilm.DeciLMForCausalLM
    values = text.to_dict()
    values.pop("model_type")
    config = kind.config_class(block_configs=_blocks(text, route), **values)
    config.auto_map = auto_map(kind, "AutoModelForCausalLM")
    config.rope_theta = text.rope_parameters["rope_theta"]  # read by engines older than transformers 5
    filled = {name: zeros for number, layer in enumerate(route.layers) if layer.ffn is None
              for name, zeros in _zero_ffn(text, number, model.dtype)}  # fmt: skip
    return config, kind, {**dict(_renamed(model, weights)), **filled}


def _blocks(text: Any, route: Route) -> list[dict[str, Any]]:
    """Return the `block_configs`; absent sub-layers have nulls, since converters look up every key."""
    group = text.num_attention_heads // text.num_key_value_heads
    blocks = []
    for number, layer in enumerate(route.layers):
        attends = layer.attention is not None or route.fills(number)
        channels = ZERO_CHANNELS if layer.ffn is None else text.intermediate_size
        # Engines compute the channels from `ffn_mult`, rounding up to a multiple of 256.
        blocks.append(
            {
                "attention": {
                    "no_op": not attends,
                    "n_heads_in_group": group if attends else None,
                    "replace_with_linear": False,
                },
                "ffn": {
                    "no_op": False,
                    "ffn_mult": 3 * channels / (2 * text.hidden_size),
                    "replace_with_linear": False,
                },
            }
        )
    return blocks


def _zero_ffn(text: Any, number: int, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights, by name, of an FFN of layer `number` whose output is 0."""
    width, layer = text.hidden_size, f"model.layers.{number}"
    yield f"{layer}.post_attention_layernorm.weight", torch.ones(width, dtype=dtype)
    for name, inputs, outputs in (
        ("gate_proj", width, ZERO_CHANNELS),
        ("up_proj", width, ZERO_CHANNELS),
        ("down_proj", ZERO_CHANNELS, width),
    ):
        yield f"{layer}.mlp.{name}.weight", torch.zeros(outputs, inputs, dtype=dtype)
        if text.mlp_bias:
            yield f"{layer}.mlp.{name}.bias", torch.zeros(outputs, dtype=dtype)


def _renamed(model: Any, weights: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights of decoder and LM head under their names in a text-only model."""
    decoder, head = (path_of(model, each) for each in (anatomy_of(model).decoder, model.get_output_embeddings()))
    for name, tensor in weights.items():
        if name.startswith(f"{decoder}."):
            yield f"model.{name.removeprefix(f'{decoder}.')}", tensor
        elif name.startswith(f"{head}."):
            yield f"lm_head.{name.removeprefix(f'{head}.')}", tensor
