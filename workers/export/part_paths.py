"""Where the parts of decoder blocks are, as JSON: an exported model knows them without probing, and lacks some."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from torch import nn

from spaces.plan import Block, Group, Plan
from workers.blocks.anatomy import Parts, find_blocks, know

Places = list[dict[str, Any]]
"""Per block, field of `Parts` -> path below the block, or a list of paths, or a plain value."""


class Removed(nn.Module):
    """Stands where a part was that its plan never runs: no weights, but what others ask the part about itself."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        for name, value in vars(part).items():
            if not name.startswith("_") and name not in ("forward", "training"):
                setattr(self, name, value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("this part is not in the model, as its plan skips it for all tokens")


def path_of(model: nn.Module, module: nn.Module) -> str:
    """The path of a module of a model."""
    return next(path for path, each in model.named_modules() if each is module)


def places_of(parts: Sequence[Parts]) -> Places:
    """Where the parts of every block are."""
    return [_places(each) for each in parts]


def _places(parts: Parts) -> dict[str, Any]:

    def place(value: Any) -> Any:
        if isinstance(value, tuple):
            return [place(each) for each in value]
        return path_of(parts.block, value) if isinstance(value, nn.Module) else value

    return {field.name: place(getattr(parts, field.name)) for field in fields(parts)}


def settle(model: nn.Module, places: Places, cuts: Sequence[dict[str, Any]], plan: Plan) -> None:
    """Takes out what a plan never runs, narrows what is cut, and makes the parts known to `apply_plan`.

    Args:
        cuts: per block the (outputs, inputs) of linear layers that are narrower, by path, under `linears`, and what
            the attention must say of itself then, under `attention`.
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
    know(model, found)


def removed(place: dict[str, Any], block: Block) -> Iterator[str]:
    """Paths of the parts that no token runs under `block`."""
    for runs, names in ((block.runs_attention, ("attention", "attention_norm")), (block.runs_ffn, ("ffn", "ffn_norm"))):
        if not any(runs(group) for group in Group):
            for name in names:
                paths = place[name]
                yield from paths if isinstance(paths, list) else (paths,)


def _narrow(linear: nn.Module, outputs: int, inputs: int) -> nn.Linear:
    weight = linear.weight
    return nn.Linear(inputs, outputs, linear.bias is not None, device=weight.device, dtype=weight.dtype)


def _at(block: nn.Module, name: str, value: Any) -> Any:
    """What a place stands for; strings are paths, of the block itself an empty one."""
    if isinstance(value, list):
        return tuple(_at(block, name, each) for each in value)
    return block.get_submodule(value) if isinstance(value, str) else value
