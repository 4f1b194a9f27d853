"""The language model of an export alone, in the nemotron-nas form of NVIDIA's `DeciLMForCausalLM`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from workers.blocks.anatomy import anatomy_of
from workers.export import modeling_decilm
from workers.export.part_paths import path_of
from workers.export.remote_code import auto_map
from workers.export.route import Route


def decilm(model: Any, text: Any, weights: dict[str, Tensor], route: Route) -> tuple[Any, type, dict[str, Tensor]]:
    """Return config, class and weights of the language model in nemotron-nas form.

    Args:
        model: the loaded model.
        text: the text config of the exported layers.
        weights: weights of the exported layers, by their names in the whole model.
        route: the layers of the export.
    """
    kind = modeling_decilm.DeciLMForCausalLM
    values = text.to_dict()
    values.pop("model_type")
    config = kind.config_class(block_configs=_blocks(text, route), **values)
    config.auto_map = auto_map(kind, "AutoModelForCausalLM")
    config.rope_theta = text.rope_parameters["rope_theta"]  # read by engines older than transformers 5
    return config, kind, dict(_renamed(model, weights))


def _blocks(text: Any, route: Route) -> list[dict[str, Any]]:
    attention = {"no_op": False, "n_heads_in_group": text.num_attention_heads // text.num_key_value_heads}
    # Engines compute the channels from this number, rounding up to a multiple of 256.
    ffn = {"no_op": False, "ffn_mult": 3 * text.intermediate_size / (2 * text.hidden_size)}
    nothing = {"no_op": True}
    return [
        {
            "attention": attention if layer.attention is not None or route.fills(number) else nothing,
            "ffn": ffn if layer.ffn is not None else nothing,
        }
        for number, layer in enumerate(route.layers)
    ]


def _renamed(model: Any, weights: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights of decoder and LM head under the names of a text model."""
    decoder, head = (path_of(model, each) for each in (anatomy_of(model).decoder, model.get_output_embeddings()))
    for name, tensor in weights.items():
        if name.startswith(f"{decoder}."):
            yield f"model.{name.removeprefix(f'{decoder}.')}", tensor
        elif name.startswith(f"{head}."):
            yield f"lm_head.{name.removeprefix(f'{head}.')}", tensor
