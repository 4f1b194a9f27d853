"""What an export must know of a model: which layers can be moved or taken apart, and whose every weight is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

OUTPUTS = frozenset({"o_proj", "out_proj", "dense", "down_proj", "fc2"})
"""Names of the linear layer through which a half adds to the residual: with zeros there it adds nothing."""
TIED_TO_DEPTH = ("cross_attention_layers", "mlp_only_layers", "first_k_dense_replace", "num_kv_shared_layers")
"""Settings of text configs that count layers or name them by number, where they are in use."""


@dataclass(frozen=True)
class Facts:
    """A model, as far as it matters for moving its layers."""

    text: Any
    """The config of its decoder."""
    fixed: int = 0
    """So many of the first blocks must stay as and where they are in stock transformers."""
    why_fixed: str = ""
    mixable: bool = True
    """Whether every weight of a block is of its attention or of its FFN, so that halves of two blocks make one."""
    can_silence: bool = True
    """Whether a half can be made to add nothing by zeros in one linear layer."""


def config_facts(config: Any) -> Facts:
    """What the config alone tells, before any weight is read."""
    text = config.get_text_config()
    depth = text.num_hidden_layers
    for name in TIED_TO_DEPTH:
        if getattr(text, name, None):
            return Facts(text, depth, f"{name} of the config counts layers")
    deepstack = getattr(getattr(config, "vision_config", None), "deepstack_visual_indexes", None) or ()
    why = f"visual features are added after each of the first {len(deepstack)} layers" if deepstack else ""
    return Facts(text, len(deepstack), why)


def with_places(facts: Facts, places: list[dict[str, Any]], weights: list[list[str]]) -> Facts:
    """The facts, and what taking the blocks apart shows.

    Args:
        places: where the parts of every block are (`workers.export.part_paths`).
        weights: names of the weights of every block, below the block.
    """
    owned = all(owner(name, place) for place, names in zip(places, weights, strict=True) for name in names)
    silent = all(
        len({name.rpartition(".")[0] for name in names if is_output(name, place, half)}) == 1
        for place, names in zip(places, weights, strict=True)
        for half in ("attention", "ffn")
    )
    return replace(facts, mixable=owned, can_silence=silent)


def owner(name: str, place: Mapping[str, Any]) -> str | None:
    """`attention` or `ffn`: the half that a weight of a block belongs to, its norm included; None where neither."""
    for half in ("attention", "ffn"):
        if _below(name, place[half]) or _below(name, place[f"{half}_norm"]):
            return half
    return None


def is_output(name: str, place: Mapping[str, Any], half: str) -> bool:
    """Whether a weight or bias is of the linear layer through which a half adds to the residual."""
    return _below(name, place[half]) and name.rpartition(".")[0].rpartition(".")[2] in OUTPUTS


def _below(name: str, path: str | list[str]) -> bool:
    paths = path if isinstance(path, list) else [path]
    return any(name.startswith(f"{each}.") for each in paths)
