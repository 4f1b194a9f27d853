"""Builds the smaller model: what a plan skips is gone, the rest is renumbered, and the config says so."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workers.export import modeling_decilm, modeling_skipsearch
from workers.export.route import DECODERS, REMOTE_CLASSES, Badge, ExportError, Layer, Route
from workers.families import Families
from workers.loading import LoadedModel

MODELING_FILES = {
    Badge.REMOTE: (Path(modeling_skipsearch.__file__),),
    Badge.NEMOTRON: (Path(modeling_decilm.__file__), Path(modeling_skipsearch.__file__)),
}
"""What transformers must find in the folder; its classes are in the first."""
FFN_LISTS = ("mlp_layer_types",)
"""Per-layer lists of text configs that describe the FFN; all others describe the attention."""


def build(loaded: LoadedModel, route: Route) -> Any:
    """The exported model. Weights are shared with the loaded one except where they are zeroed; it can only be saved.

    Raises ExportError where a layer's weights don't fit where the route puts them.
    """
    config = shortened(loaded.model.config, loaded.families, route)
    kind = type(loaded.model)
    weights = dict(_weights(loaded, route))
    if route.badge is Badge.REMOTE:
        config, kind = _remote(config, loaded.families, route)
    elif route.badge is Badge.NEMOTRON:
        config, kind = _decilm(config.get_text_config(), route)
        weights = dict(_language_model(weights, loaded.families))
    with torch.device("meta"):
        model = kind(config)
    model.to(loaded.model.dtype)
    try:
        model.load_state_dict(weights, strict=True, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ExportError(
            f"the layers of an export must be alike, those of this model are not ({reason}): export a plan of whole "
            "blocks"
        ) from None
    model.tie_weights()
    model.generation_config = copy.deepcopy(loaded.model.generation_config)
    return model.eval()


def shortened(config: Any, families: Families, route: Route) -> Any:
    """A copy of the config for the route's layers: their number, and every list with one entry a layer."""
    config = copy.deepcopy(config)
    text = config.get_text_config()
    key = families.decoder.keys["num_blocks"]
    before = getattr(text, key)
    for name, value in text.to_dict().items():
        if isinstance(value, list | tuple) and len(value) == before:
            setattr(text, name, [value[_block_of(name, layer)] for layer in route.layers])
    setattr(text, key, len(route.layers))
    return config


def _block_of(name: str, layer: Layer) -> int:
    block = layer.ffn if name in FFN_LISTS else layer.attention
    return layer.source if block is None else block


def _remote(config: Any, families: Families, route: Route) -> tuple[Any, type]:
    """Config and class of the modeling file; `auto_map` is how transformers finds them."""
    kind = getattr(modeling_skipsearch, REMOTE_CLASSES[str(families.config["model_type"])])
    values = config.to_dict()
    values.pop("model_type")
    remote = kind.config_class(**values)
    remote.skipsearch = [layer.kind for layer in route.layers]
    remote.auto_map = _auto_map(kind, "AutoModelForImageTextToText")
    return remote, kind


def _decilm(text: Any, route: Route) -> tuple[Any, type]:
    """Config and class of the language model alone, in the form of NVIDIA's nemotron-nas models."""
    kind = modeling_decilm.DeciLMForCausalLM
    values = text.to_dict()
    values.pop("model_type")
    group = text.num_attention_heads // text.num_key_value_heads
    # Engines compute the channels from this number, rounding up to a multiple of 256.
    ffn = {"no_op": False, "ffn_mult": 3 * text.intermediate_size / (2 * text.hidden_size)}
    config = kind.config_class(
        block_configs=[
            {
                "attention": {"no_op": False, "n_heads_in_group": group}
                if layer.attention is not None or route.fills(number)
                else {"no_op": True},
                "ffn": {"no_op": True} if layer.ffn is None else ffn,
            }
            for number, layer in enumerate(route.layers)
        ],
        **values,
    )
    config.auto_map = _auto_map(kind, "AutoModelForCausalLM")
    config.rope_theta = text.rope_parameters["rope_theta"]  # where engines older than transformers 5 look for it
    return config, kind


def _auto_map(kind: Any, loader: str) -> dict[str, str]:
    module = kind.__module__.rpartition(".")[2]
    return {"AutoConfig": f"{module}.{kind.config_class.__name__}", loader: f"{module}.{kind.__name__}"}


def _language_model(weights: dict[str, Tensor], families: Families) -> Iterator[tuple[str, Tensor]]:
    """The weights of decoder and LM head, by the names of a text model."""
    decoder = f"{families.model.language_model}."
    for name, tensor in weights.items():
        if name.startswith(decoder):
            yield f"model.{name.removeprefix(decoder)}", tensor
        elif name.startswith(f"{families.model.head}."):
            yield name, tensor


def _weights(loaded: LoadedModel, route: Route) -> Iterator[tuple[str, Tensor]]:
    """The state dict of the exported model, from that of the loaded one."""
    state, prefix = loaded.model.state_dict(), f"{loaded.families.model.blocks}."
    yield from ((name, tensor) for name, tensor in state.items() if not name.startswith(prefix))
    for number, layer in enumerate(route.layers):
        for name in _names(state, f"{prefix}{layer.source}."):
            block = _origin(loaded.families, layer, name)
            if block is not None:
                yield f"{prefix}{number}.{name}", state[f"{prefix}{block}.{name}"]
            elif route.fills(number):
                tensor = state[f"{prefix}{layer.source}.{name}"]
                silent = _is_output(loaded.families, name)
                yield f"{prefix}{number}.{name}", torch.zeros_like(tensor) if silent else tensor


def _names(state: dict[str, Tensor], prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in state if name.startswith(prefix)]


def _origin(families: Families, layer: Layer, name: str) -> int | None:
    """The block a weight of a layer comes from; None where its half is skipped."""
    if _starts(name, families.decoder.attention, families.decoder.attention_norm):
        return layer.attention
    if _starts(name, families.decoder.ffn, families.decoder.ffn_norm):
        return layer.ffn
    if layer.attention == layer.ffn:
        return layer.source
    raise ExportError(
        f"every weight of a layer must belong to its attention or its FFN to be packed, got {name!r}: export a plan "
        "of whole blocks"
    )


def _is_output(families: Families, name: str) -> bool:
    """Whether a weight is of the last linear layer of a half: zeros there make the half add nothing."""
    decoder = DECODERS[str(families.text.get("model_type") or families.model.default_text["model_type"])]
    return _starts(
        name,
        f"{families.decoder.attention}.{decoder.attention_output}",
        f"{families.decoder.ffn}.{decoder.ffn_output}",
    )


def _starts(name: str, *modules: str) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)
