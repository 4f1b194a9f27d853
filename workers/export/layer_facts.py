"""Finds the properties of a model that decide its export: movable layers, and the sub-layer of each weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

OUTPUTS = frozenset({"o_proj", "out_proj", "dense", "down_proj", "fc2"})
"""Names of the last linear layer of a sub-layer, which adds to the residual stream; if it is 0, so is the sub-layer."""
TIED_TO_DEPTH = ("cross_attention_layers", "mlp_only_layers", "first_k_dense_replace", "num_kv_shared_layers")
"""Settings of text configs that depend on the number or the index of a layer."""


@dataclass(frozen=True)
class Facts:
    """Properties of a model that matter for moving its layers."""

    text: Any
    """The config of the decoder."""
    fixed: int = 0
    """Number of blocks, from the first on, that must stay unchanged and in place in stock transformers."""
    why_fixed: str = ""
    """The reason for `fixed`, for messages."""
    mixable: bool = True
    """True if every weight of a block belongs to its attention or FFN, so that two blocks can be combined into one."""
    can_silence: bool = True
    """True if zeros in one linear layer make a sub-layer add nothing."""


def config_facts(config: Any) -> Facts:
    """Return the properties that follow from the config alone, before any weight is read."""
    text = config.get_text_config()
    depth = text.num_hidden_layers
    for name in TIED_TO_DEPTH:
        if getattr(text, name, None):
            return Facts(text, depth, f"{name} of the config counts layers")
    deepstack = getattr(getattr(config, "vision_config", None), "deepstack_visual_indexes", None) or ()
    why = f"visual features are added after each of the first {len(deepstack)} layers" if deepstack else ""
    return Facts(text, len(deepstack), why)


def with_places(facts: Facts, places: list[dict[str, Any]], weights: list[list[str]]) -> Facts:
    """Return the facts, updated with the weights of the blocks.

    Args:
        facts: properties that follow from the config.
        places: paths of the parts of every block (`workers.export.part_paths`).
        weights: names of the weights of every block, relative to the block.
    """
    owned = all(owner(name, place) for place, names in zip(places, weights, strict=True) for name in names)
    silent = all(
        len({name.rpartition(".")[0] for name in names if is_output(name, place, sublayer)}) == 1
        for place, names in zip(places, weights, strict=True)
        for sublayer in ("attention", "ffn")
    )
    return replace(facts, mixable=owned, can_silence=silent)


def owner(name: str, place: Mapping[str, Any]) -> str | None:
    """Return the sub-layer, `attention` or `ffn`, whose modules or norm a weight belongs to; None if it is neither.

    Args:
        name: name of the weight, relative to the block.
        place: paths of the parts of the block.
    """
    for sublayer in ("attention", "ffn"):
        if _below(name, place[sublayer]) or _below(name, place[f"{sublayer}_norm"]):
            return sublayer
    return None


def is_output(name: str, place: Mapping[str, Any], sublayer: str) -> bool:
    """Return True if a weight or bias belongs to the last linear layer of a sub-layer, see `OUTPUTS`.

    Args:
        name: name of the weight, relative to the block.
        place: paths of the parts of the block.
        sublayer: `attention` or `ffn`.
    """
    return _below(name, place[sublayer]) and name.rpartition(".")[0].rpartition(".")[2] in OUTPUTS


def _below(name: str, path: str | list[str]) -> bool:
    paths = path if isinstance(path, list) else [path]
    return any(name.startswith(f"{each}.") for each in paths)
