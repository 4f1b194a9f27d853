"""Builds the model of an export that runs by remote code: every block in its place, without what is skipped."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from spaces.plan import Plan
from workers.anatomy import anatomy_of
from workers.export import modeling_skipsearch
from workers.export.places import places_of
from workers.export.route import ExportError


def under_plan(model: Any, plan: Plan) -> tuple[Any, type, dict[str, Tensor]]:
    """Config, class and weights. Raises ExportError for a model whose class is not transformers' own."""
    stock = type(model).__name__
    kind = getattr(modeling_skipsearch, f"{modeling_skipsearch.PREFIX}{stock}", None)
    if kind is None or not issubclass(kind, type(model)):
        raise ExportError(
            f"remote code is written for models that transformers has, got {stock}: export a plan of whole blocks"
        )
    config = copy.deepcopy(model.config)
    config.__class__ = kind.config_class
    config.skipsearch = {"plan": str(plan), "parts": places_of(anatomy_of(model).parts)}
    config.auto_map = auto_map(kind, "AutoModelForImageTextToText")
    with torch.device("meta"):
        needed = kind(config).state_dict()
    return config, kind, {name: tensor for name, tensor in model.state_dict().items() if name in needed}


def auto_map(kind: Any, loader: str) -> dict[str, str]:
    """How transformers finds config and class in the folder."""
    module = kind.__module__.rpartition(".")[2]
    return {"AutoConfig": f"{module}.{kind.config_class.__name__}", loader: f"{module}.{kind.__name__}"}
