"""Builds the model of an export by remote code: every block in place, without the parts that are skipped."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from spaces.plan import Block, Plan
from workers.blocks.anatomy import Parts, anatomy_of, find_blocks
from workers.export import modeling_skipsearch
from workers.export.part_paths import places_of
from workers.export.route import ExportError
from workers.pruning.apply import head_counts

States = Sequence[dict[str, Tensor]]
"""The state dict of every block."""


def under_plan(model: Any, plan: Plan, states: States) -> tuple[Any, type, dict[str, Tensor]]:
    """Return config, class and weights of a model under a plan.

    Args:
        model: the loaded model.
        plan: the plan to export.
        states: the state dict of every block after pruning.

    Raises:
        ExportError: the model's class is not part of transformers.
    """
    stock = type(model).__name__
    kind = getattr(modeling_skipsearch, f"{modeling_skipsearch.PREFIX}{stock}", None)
    if kind is None or not issubclass(kind, type(model)):
        raise ExportError(
            f"remote code is written for models that transformers has, got {stock}: export a plan of whole blocks"
        )
    config = copy.deepcopy(model.config)
    config.__class__ = kind.config_class
    parts = anatomy_of(model).parts
    config.skipsearch = {
        "plan": str(Plan(tuple(replace(block, pruning=None) for block in plan.blocks))),
        "parts": places_of(parts),
        "cuts": [_cut(*each) for each in zip(parts, plan.blocks, states, strict=True)],
    }
    config.auto_map = auto_map(kind, "AutoModelForImageTextToText")
    inner = getattr(modeling_skipsearch, f"{modeling_skipsearch.PREFIX}{type(model.base_model).__name__}", None)
    if inner is not None and inner is not kind:  # servers build the model without its LM head
        config.auto_map |= {"AutoModel": auto_map(inner, "AutoModel")["AutoModel"]}
    with torch.device("meta"):
        needed = kind(config).state_dict()
    path, _ = find_blocks(model)
    left = {f"{path}.{index}.{name}": tensor for index, state in enumerate(states) for name, tensor in state.items()}
    weights = {**merged_state(model), **left}
    return config, kind, {name: weights[name] for name in needed}


def _cut(parts: Parts, block: Block, state: dict[str, Tensor]) -> dict[str, Any]:
    """Return the narrowed layers of a block, in the form that `part_paths.settle` reads; empty at full width."""
    if block.pruning is None or not block.pruning.narrows:
        return {}
    narrower = {
        name.removesuffix(".weight"): list(tensor.shape)
        for name, tensor in state.items()
        if name.endswith(".weight") and tensor.shape != parts.block.get_parameter(name).shape
    }
    return {"linears": narrower, "attention": head_counts(parts, block.pruning)}


def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state dict of a model, with low-rank adapters merged into the weights that they adapt."""
    state = model.state_dict()
    for path, module in model.named_modules():
        if hasattr(module, "get_delta_weight"):  # peft's adapted layers
            base = module.get_base_layer()
            state = {name: tensor for name, tensor in state.items() if not name.startswith(f"{path}.")}
            state |= {f"{path}.{name}": tensor for name, tensor in base.state_dict().items()}
            state[f"{path}.weight"] = sum(
                (module.get_delta_weight(each) for each in module.active_adapters), base.weight
            )
    return {name: tensor.detach() for name, tensor in state.items()}


def auto_map(kind: Any, loader: str) -> dict[str, str]:
    """Return the `auto_map` of a config, by which transformers finds the classes in the folder.

    Args:
        kind: the model class.
        loader: the auto class that loads it, such as `AutoModelForCausalLM`.
    """
    module = kind.__module__.rpartition(".")[2]
    return {"AutoConfig": f"{module}.{kind.config_class.__name__}", loader: f"{module}.{kind.__name__}"}
