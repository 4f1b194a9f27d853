"""Builds the smaller model: what a plan skips is gone, the rest is renumbered, and the config says so."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workers.export import modeling_skipsearch
from workers.export.route import DECODERS, REMOTE_CLASSES, Badge, ExportError, Layer, Route
from workers.families import Families
from workers.loading import LoadedModel

MODELING_FILE = Path(modeling_skipsearch.__file__)
FFN_LISTS = ("mlp_layer_types",)
"""Per-layer lists of text configs that describe the FFN; all others describe the attention."""


def build(loaded: LoadedModel, route: Route) -> Any:
    """The exported model. Weights are shared with the loaded one except where they are zeroed; it can only be saved.

    Raises ExportError where a layer's weights don't fit where the route puts them.
    """
    config = shortened(loaded.model.config, loaded.families, route)
    kind = type(loaded.model)
    if route.badge is Badge.REMOTE:
        config, kind = _remote(config, loaded.families, route)
    with torch.device("meta"):
        model = kind(config)
    model.to(loaded.model.dtype)
    try:
        model.load_state_dict(dict(_weights(loaded, route)), strict=True, assign=True)
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
    module = MODELING_FILE.stem
    remote.auto_map = {
        "AutoConfig": f"{module}.{kind.config_class.__name__}",
        "AutoModelForImageTextToText": f"{module}.{kind.__name__}",
    }
    return remote, kind


def _weights(loaded: LoadedModel, route: Route) -> Iterator[tuple[str, Tensor]]:
    """The state dict of the exported model, from that of the loaded one."""
    state, prefix = loaded.model.state_dict(), f"{loaded.families.model.blocks}."
    yield from ((name, tensor) for name, tensor in state.items() if not name.startswith(prefix))
    for number, layer in enumerate(route.layers):
        for name in _names(state, f"{prefix}{layer.source}."):
            block = _origin(loaded.families, layer, name)
            if block is not None:
                yield f"{prefix}{number}.{name}", state[f"{prefix}{block}.{name}"]
            elif route.badge is not Badge.REMOTE:
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
