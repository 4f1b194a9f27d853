"""Builds the smaller model of stock layers: skipped parts removed, layers renumbered, config updated."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from spaces.plan import Plan
from spaces.pruning import Pruning
from workers.blocks.anatomy import anatomy_of, find_blocks
from workers.export.decilm import decilm
from workers.export.layer_facts import Facts, config_facts, is_output, owner, with_places
from workers.export.pack_layers import Layer
from workers.export.part_paths import places_of
from workers.export.remote_code import States, merged_state, under_plan
from workers.export.route import Badge, ExportError, Route
from workers.pruning.apply import pruned_state
from workers.pruning.inputs import PruningInputs

FFN_LISTS = ("mlp_layer_types",)
"""Per-layer lists of text configs that describe the FFN; all others describe the attention."""


def facts_of(model: nn.Module) -> Facts:
    """Return the properties of a loaded model that matter for moving its layers."""
    _, blocks = find_blocks(model)
    return with_places(
        config_facts(model.config), places_of(anatomy_of(model).parts), [list(block.state_dict()) for block in blocks]
    )


def build(model: Any, route: Route, inputs: PruningInputs | None = None) -> Any:
    """Return the exported model, for saving only. It shares all weights that are not pruned with `model`.

    Args:
        model: the loaded model.
        route: the form of the export.
        inputs: inputs of the pruned blocks; None if the plan needs none.

    Raises:
        ExportError: the weights of a layer do not fit at their new place.
        PlanError: `inputs` lack some that the plan needs.
    """
    states = list(_states(model, route.plan, inputs or PruningInputs()))
    if route.badge is Badge.REMOTE:
        config, kind, weights = under_plan(model, route.plan, states)
    else:
        config, kind, weights = shortened(model.config, route), type(model), dict(_weights(model, route, states))
    if route.badge is Badge.NEMOTRON:
        config, kind, weights = decilm(model, config.get_text_config(), weights, route)
    with torch.device("meta"):
        built = kind(config)
    built.to(model.dtype)
    try:
        built.load_state_dict(weights, strict=True, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ExportError(
            f"the layers of an export must have equal shapes, those of this model have not ({reason}): use --format "
            "remote-code"
        ) from None
    if not route.badge.is_language_model:
        # The renamings that loading applied to the base: with them, `save_pretrained` writes the names of the base.
        built._weight_conversions = getattr(model, "_weight_conversions", None)
    built.tie_weights()
    built.generation_config = copy.deepcopy(model.generation_config)
    return built.eval()


def shortened(config: Any, route: Route) -> Any:
    """Return a copy of the config with the number of the route's layers, and all per-layer lists for these layers."""
    config = copy.deepcopy(config)
    text = config.get_text_config()
    before = text.num_hidden_layers
    for name, value in text.to_dict().items():
        if isinstance(value, list | tuple) and len(value) == before:
            setattr(text, name, [value[_block_of(name, layer)] for layer in route.layers])
    text.num_hidden_layers = len(route.layers)
    if route.width is not None:
        narrow(text, route.width)
    return config


def narrow(text: Any, width: Pruning) -> None:
    """Set the numbers of heads and FFN channels of a text config to those that remain, in place."""
    groups = width.kept_groups(text.num_key_value_heads)
    text.head_dim = text.head_dim or text.hidden_size // text.num_attention_heads
    text.num_attention_heads = groups * (text.num_attention_heads // text.num_key_value_heads)
    text.num_key_value_heads = groups
    text.intermediate_size = width.kept_channels(text.intermediate_size)


def _states(model: nn.Module, plan: Plan, inputs: PruningInputs) -> Iterator[dict[str, Tensor]]:
    """Yield the state dict of every block after pruning."""
    for index, (parts, block) in enumerate(zip(anatomy_of(model).parts, plan.blocks, strict=True)):
        pruned = {} if block.pruning is None else pruned_state(index, parts, block.pruning, inputs)
        yield {**parts.block.state_dict(), **pruned}


def _block_of(name: str, layer: Layer) -> int:
    block = layer.ffn if name in FFN_LISTS else layer.attention
    return layer.source if block is None else block


def _weights(model: nn.Module, route: Route, states: States) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights of the exported model, by name."""
    path, _ = find_blocks(model)
    places = places_of(anatomy_of(model).parts)
    for name, tensor in merged_state(model).items():
        if not name.startswith(f"{path}."):
            yield name, tensor
    for number, layer in enumerate(route.layers):
        for name in states[layer.source]:
            weight = _weight(states, places[layer.source], layer, name, route.fills(number))
            if weight is not None:
                yield f"{path}.{number}.{name}", weight


def _weight(states: States, place: dict[str, Any], layer: Layer, name: str, fill: bool) -> Tensor | None:
    """Return one weight of a layer, or None if its sub-layer is skipped and not filled with zeros.

    Args:
        states: the state dict of each block.
        place: paths of the parts of the block that the layer comes from.
        layer: the layer.
        name: name of the weight, relative to the block.
        fill: True to fill a missing sub-layer with zeros.
    """
    own, sublayer = states[layer.source][name], owner(name, place)
    if sublayer is None:
        return own
    block = layer.attention if sublayer == "attention" else layer.ffn
    if block is not None:
        return states[block][name]
    if not fill:
        return None
    return torch.zeros_like(own) if is_output(name, place, sublayer) else own
