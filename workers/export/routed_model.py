"""Builds the model of an export with a router: one set of weights, a mapping module per plan, and the router."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from workers.export import modeling_routed
from workers.export.remote_code import auto_map, merged_state
from workers.export.route import ExportError
from workers.export.routed_request import RoutedRequest
from workers.models.trainable import MAPPING
from workers.routing.questions import Questions
from workers.session import Session


def check_routable(request: RoutedRequest) -> None:
    """Check that one set of weights serves all plans.

    Args:
        request: the request of the export.

    Raises:
        ExportError: a plan prunes weights, or other weights than the mapping module are tuned.
    """
    for trial in request.trials:
        if any(block.pruning is not None for block in trial.plan.blocks):
            raise ExportError(
                f"the plans of --routed must share their weights, got '{trial.plan}' with pruned ones: export it alone"
            )
        if trial.model.trainable != MAPPING:
            raise ExportError(
                f"--routed must be a run that tunes the mapping module, got --trainable {trial.model.trainable}: "
                "export one of its plans"
            )


def routed_model(session: Session, request: RoutedRequest, questions: Questions) -> Any:
    """Return the exported model, for saving only. It shares the weights of the loaded one.

    Args:
        session: the loaded model, with its dense mapping module.
        request: the request of the export.
        questions: questions of a split.

    Raises:
        ExportError: the images of a batch can't be assigned to its questions, or the model's class is not part of
            transformers.
    """
    model, router = session.loaded.model, load_file(request.router)
    stock = type(model).__name__
    kind = getattr(modeling_routed, f"{modeling_routed.PREFIX}{stock}", None)
    if kind is None or not issubclass(kind, type(model)):
        raise ExportError(f"remote code is written for models that transformers has, got {stock}: export one plan")
    config = copy.deepcopy(model.config)
    config.__class__ = kind.config_class
    config.routed = _settings(session, request, router, questions)
    config.auto_map = auto_map(kind, "AutoModelForImageTextToText")
    state = {**merged_state(model), **{f"router.{name}": tensor for name, tensor in router.items()}}
    for number, tuned in enumerate(_mapping_modules(session, request)):
        for place, path in enumerate(session.loaded.mapping):
            state |= {
                f"mappings.{number}.{place}.{name.removeprefix(f'{path}.')}": tensor
                for name, tensor in tuned.items()
                if name.startswith(f"{path}.")
            }
    with torch.device("meta"):
        built = kind(config)
    built.to(model.dtype)
    built.load_state_dict(state, strict=True, assign=True)
    built._weight_conversions = getattr(model, "_weight_conversions", None)  # `save_pretrained` writes the base's names
    built.generation_config = model.generation_config
    return built


def _settings(
    session: Session, request: RoutedRequest, router: Mapping[str, Tensor], questions: Questions
) -> dict[str, Any]:
    """Return the field `routed` of the config of the export."""
    matrices = [tensor for name, tensor in router.items() if name.endswith("weight")]
    return {
        "plans": [str(trial.plan) for trial in request.trials],
        "ratios": list(request.ratios),
        "dial": list(request.dial),
        "default": request.default,
        "mapping": list(session.loaded.mapping),
        "features": matrices[0].shape[1],
        **_images(questions),
        "hidden": matrices[0].shape[0] if len(matrices) > 1 else 0,
    }


def _images(questions: Questions) -> dict[str, Any]:
    """Return the numbers of images of a question, and the tokens of one image; None where images differ in it."""
    images = sorted({images for *_, images in questions.tokens})
    sizes = {visual / count for visual, _, _, count in questions.tokens if count}
    size = int(sizes.pop()) if len(sizes) == 1 else None
    if size is None and images != [1]:
        raise ExportError(
            f"--routed splits batches by images of one size, got questions with {', '.join(map(str, images))} images "
            "of several sizes: export one plan"
        )
    return {"images": images, "tokens_per_image": size}


def _mapping_modules(session: Session, request: RoutedRequest) -> Sequence[dict[str, Tensor]]:
    """Return, per plan, the weights of its mapping module by name in the whole model."""
    found = []
    try:
        for trial in request.trials:
            session.make_dense()
            if trial.mapping_module:
                session.read_mapping_module(Path(trial.mapping_module), trial)
            found.append({name: weight.detach().clone() for name, weight in session.loaded.weights.items()})
    finally:
        session.make_dense()
    return found
