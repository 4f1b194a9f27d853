"""Stores the paths of the parts of decoder blocks with an exported model, which lacks parts and can't be probed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from torch import nn

from spaces.plan import Block, Group, Plan
from workers.blocks.anatomy import Parts, find_blocks, set_anatomy

Places = list[dict[str, Any]]
"""Per block, field of `Parts` -> path relative to the block, a list of paths, or a plain value."""


class Removed(nn.Module):
    """Placeholder for a part that the plan never runs; without weights, but with the attributes that others read."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        for name, value in vars(part).items():
            if not name.startswith("_") and name not in ("forward", "training"):
                setattr(self, name, value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("this part is not in the model, as its plan skips it for all tokens")


def path_of(model: nn.Module, module: nn.Module) -> str:
    """Return the path of a module in a model, such as `model.language_model`."""
    paths: Iterator[str] = (path for path, each in model.named_modules() if each is module)
    return next(paths)


def places_of(parts: Sequence[Parts]) -> Places:
    """Return the paths of the parts of every block."""
    return [_places(each) for each in parts]


def _places(parts: Parts) -> dict[str, Any]:

    def place(value: Any) -> Any:
        if isinstance(value, tuple):
            return [place(each) for each in value]
        return path_of(parts.block, value) if isinstance(value, nn.Module) else value

    return {field.name: place(getattr(parts, field.name)) for field in fields(parts)}


def settle(model: nn.Module, places: Places, cuts: Sequence[dict[str, Any]], plan: Plan) -> None:
    """Remove the parts that a plan never runs, narrow others, and register all parts for `apply_plan`.

    Args:
        model: the model, changed in place.
        places: the paths of the parts of each block.
        cuts: per block, `linears`: path -> (outputs, inputs) of the linear layers to narrow; `attention`: attribute of
            the attention -> new value.
        plan: the plan of the model.
    """
    _, blocks = find_blocks(model)
    found = []
    for module, place, cut, block in zip(blocks, places, cuts, plan.blocks, strict=True):
        for path in removed(place, block):
            module.set_submodule(path, Removed(module.get_submodule(path)))
        for path, (outputs, inputs) in cut.get("linears", {}).items():
            module.set_submodule(path, _narrow(module.get_submodule(path), outputs, inputs))
        for name, value in cut.get("attention", {}).items():
            setattr(module.get_submodule(place["attention"]), name, value)
        found.append(Parts(**{name: _at(module, name, value) for name, value in place.items()}))
    set_anatomy(model, found)


def removed(place: dict[str, Any], block: Block) -> Iterator[str]:
    """Yield the paths of the parts of a block that run for no token.

    Args:
        place: the paths of all parts of the block.
        block: the block of the plan.
    """
    for runs, names in ((block.runs_attention, ("attention", "attention_norm")), (block.runs_ffn, ("ffn", "ffn_norm"))):
        if not any(runs(group) for group in Group):
            for name in names:
                paths = place[name]
                yield from paths if isinstance(paths, list) else (paths,)


def _narrow(linear: nn.Module, outputs: int, inputs: int) -> nn.Linear:
    weight = linear.weight
    return nn.Linear(inputs, outputs, linear.bias is not None, device=weight.device, dtype=weight.dtype)


def _at(block: nn.Module, name: str, value: Any) -> Any:
    """Return the modules or the value of a place. Texts are paths; the empty one is the block itself."""
    if isinstance(value, list):
        return tuple(_at(block, name, each) for each in value)
    return block.get_submodule(value) if isinstance(value, str) else value
