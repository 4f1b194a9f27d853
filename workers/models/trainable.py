"""Selects the weights to train (the mapping module, weights by name, or low-rank adapters), and copies their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from workers.lora_options import LoraOptions, parse_lora
from workers.models.mapping_module import matching_weights

State = dict[str, Tensor]
Weights = Mapping[str, nn.Parameter]
MAPPING = "mapping"
"""Value of `--trainable` for the mapping module."""


def choose_trainable(model: nn.Module, mapping: Sequence[str], what: str) -> Weights:
    """Return the weights to train, by name in the whole model, and freeze all others.

    Args:
        model: the model, changed in place: low-rank adapters are added to its mapping module.
        mapping: paths of the mapping module.
        what: `mapping`, `lora` with its options, or comma-separated globs of weight names.

    Raises:
        ValueError: `what` selects no weight, or low-rank adapters cannot be added.
    """
    lora = parse_lora(what)
    if lora is not None:
        weights = _add_lora(model, mapping, lora)
    elif what == MAPPING:
        paths = tuple(f"{path}." for path in mapping)
        weights = {name: weight for name, weight in model.named_parameters() if name.startswith(paths)}
    else:
        weights = matching_weights(model, what)
    model.requires_grad_(False)
    for weight in weights.values():
        weight.requires_grad_(True)
    return weights


def _add_lora(model: nn.Module, mapping: Sequence[str], options: LoraOptions) -> Weights:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ValueError("--trainable lora needs the package peft: pip install 'skipsearch[lora]'") from error
    targets = [
        name
        for path in mapping
        for name, module in model.get_submodule(path).named_modules(prefix=path)
        if isinstance(module, nn.Linear)
    ]
    if not targets:
        raise ValueError(
            f"low-rank adapters need linear layers in the mapping module, got none in {', '.join(mapping)}: "
            "leave --trainable out"
        )
    before = {name for name, _ in model.named_parameters()}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        inject_adapter_in_model(LoraConfig(r=options.r, lora_alpha=options.alpha, target_modules=targets), model)
    model.eval()
    return {name: weight for name, weight in model.named_parameters() if name not in before and ".lora_" in name}


def copy_state(weights: Weights) -> State:
    """Return a copy of the values of the weights."""
    return {name: weight.detach().clone() for name, weight in weights.items()}


@torch.no_grad()
def put_state(weights: Weights, state: Mapping[str, Tensor]) -> None:
    """Copy stored values into the weights.

    Args:
        weights: the weights, changed in place.
        state: name -> tensor; a name may lack the path of the mapping module, as in older files.

    Raises:
        ValueError: names or shapes do not match; nothing is changed.
    """
    named = {_full_name(weights, name): tensor for name, tensor in state.items()}
    missing = [name for name in weights if name not in named]
    if missing or len(named) != len(weights):
        raise ValueError(f"{missing[0]} is missing" if missing else f"it holds more than {', '.join(weights)}")
    for name, weight in weights.items():
        if weight.shape != named[name].shape:
            raise ValueError(f"{name} is {tuple(named[name].shape)}, not {tuple(weight.shape)}")
    for name, weight in weights.items():
        weight.copy_(named[name])


def _full_name(weights: Weights, name: str) -> str:
    found = [each for each in weights if each.endswith(f".{name}")]
    return found[0] if name not in weights and len(found) == 1 else name
