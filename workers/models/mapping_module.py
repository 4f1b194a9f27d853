"""Finds the mapping module of a model: the weights between the frozen vision tower and the decoder.

The parts outside the decoder, the LM head and the token embeddings are stacks of residual blocks (the tower, a
Q-Former, a resampler) and modules between and after them. The inputs of the decoder are differentiated with the outputs
of all such blocks detached. Weights that still get a gradient come after the last stack and form the mapping module. If
none of them is a matrix, the last stack is part of the mapping module too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from workers.blocks.anatomy import decoder_of, embeddings_of
from workers.models.decoder_inputs import decoder_inputs, weighted_sum

Inputs = Mapping[str, Any]


class NoMapping(ValueError):
    """There is no weight between vision tower and decoder."""


def find_mapping(model: nn.Module, inputs: Inputs) -> tuple[str, ...]:
    """Return the paths of the modules between the vision tower and the decoder, in the order of the model.

    Every `requires_grad` is left unchanged.

    Args:
        model: the model, with or without weights.
        inputs: keyword arguments of the model for a question about an image.

    Raises:
        NoMapping: there is no weight between tower and decoder that the inputs of the decoder depend on.
    """
    weights = vision_weights(model)
    stacks = _stacks(model, inputs)
    while True:
        reached = reached_weights(model, inputs, weights, [block for stack in stacks for block in stack.children()])
        modules = _modules_of(model, reached, stacks)
        if modules:
            return modules
        if not stacks:
            raise NoMapping(
                f"a model must have weights between its vision tower and its decoder, got {type(model).__name__} "
                "without any that its answers depend on: name what to train with --trainable PATTERN"
            )
        stacks.pop()


def vision_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters outside the decoder, the LM head and the token embeddings, by name."""
    text = (decoder_of(model), *embeddings_of(model))
    taken = {id(weight) for part in text if part is not None for weight in part.parameters()}
    return {name: weight for name, weight in model.named_parameters() if id(weight) not in taken}


def matching_weights(model: nn.Module, patterns: str) -> dict[str, nn.Parameter]:
    """Return the vision weights whose name, or a module that contains them, matches a glob.

    Args:
        model: the model.
        patterns: comma-separated globs.

    Raises:
        ValueError: a pattern matches no weight.
    """
    weights = vision_weights(model)
    found = set()
    for pattern in (each.strip() for each in patterns.split(",")):
        hits = {name for name in weights if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")}
        if not hits:
            tops = sorted({".".join(name.split(".")[:2]) for name in weights})
            raise ValueError(
                f"trainable must be 'mapping', 'lora' or a pattern of weights outside of the decoder, got {pattern!r} "
                f"which matches none: there are {', '.join(tops)}"
            )
        found |= hits
    return {name: weight for name, weight in weights.items() if name in found}


def enclosing_module(model: nn.Module, mapping: Sequence[str], weights: Mapping[str, nn.Parameter]) -> tuple[str, ...]:
    """Return the path of the module that contains the mapping module and has exactly the given weights; () if none.

    A mapping module with transformer layers of its own looks like a tower followed by a linear layer; a pattern for all
    of its weights tells where it begins.

    Args:
        model: the model.
        mapping: paths of the mapping module that `find_mapping` returned.
        weights: the weights to train, by name.
    """
    parts = zip(*(name.split(".")[:-1] for name in weights), strict=False)
    path = ".".join(same[0] for same in takewhile(lambda same: len(set(same)) == 1, parts))
    inside = bool(path and mapping) and all(each.startswith(f"{path}.") for each in mapping)
    if not inside:
        return ()
    owned = {f"{path}.{name}" for name, _ in model.get_submodule(path).named_parameters()}
    return (path,) if owned == set(weights) else ()


def _stacks(model: nn.Module, inputs: Inputs) -> list[nn.Module]:
    """Return the lists of residual blocks outside the decoder, in the order in which they run."""
    decoder = decoder_of(model)
    candidates = {
        block: module
        for module in _outside(model, decoder)
        if isinstance(module, nn.ModuleList | nn.Sequential)
        for block in module.children()
        if sum(any(True for _ in child.parameters()) for child in block.children()) > 1
    }
    found: dict[nn.Module, None] = {}

    def note(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        given, made = _first_tensor((args, kwargs)), _first_tensor(output)
        if given is not None and made is not None and given.shape == made.shape:
            found.setdefault(candidates[block])

    with ExitStack() as hooks, torch.no_grad():
        for block in candidates:
            hooks.callback(block.register_forward_hook(note, with_kwargs=True).remove)
        decoder_inputs(model, inputs)
    return list(found)


def _outside(module: nn.Module, decoder: nn.Module) -> Iterator[nn.Module]:
    yield module
    for child in module.children():
        if child is not decoder:
            yield from _outside(child, decoder)


def _first_tensor(tree: Any) -> Tensor | None:
    return next((leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)), None)


def reached_weights(
    model: nn.Module, inputs: Inputs, weights: Mapping[str, nn.Parameter], cut: Sequence[nn.Module] = ()
) -> set[str]:
    """Return the names of the weights that the inputs of the decoder depend on.

    Args:
        model: the model.
        inputs: its keyword arguments.
        weights: candidate weights by name.
        cut: modules whose outputs are treated as constants.
    """
    with trainable(model, weights), ExitStack() as hooks:
        for block in cut:
            hooks.callback(block.register_forward_hook(lambda _, args, output: _constant(output)).remove)
        with torch.enable_grad():
            total = weighted_sum(decoder_inputs(model, inputs))
        if not total.requires_grad:
            return set()
        gradients = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
    found = zip(weights, gradients, strict=True)
    return {name for name, gradient in found if gradient is not None and _is_felt(gradient)}


def _is_felt(gradient: Tensor) -> bool:
    """Return True if a gradient is not 0 everywhere; on `meta`, which has no values, always."""
    return gradient.is_meta or bool(gradient.any())


def _constant(output: Any) -> Any:
    return tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, output)


@contextmanager
def trainable(model: nn.Module, weights: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """Enable gradients for these weights only, inside the `with` block."""
    before = [(weight, weight.requires_grad) for weight in model.parameters()]
    model.requires_grad_(False)
    for weight in weights.values():
        weight.requires_grad_(True)
    try:
        yield
    finally:
        for weight, flag in before:
            weight.requires_grad_(flag)


def _modules_of(model: nn.Module, reached: set[str], stacks: Sequence[nn.Module]) -> tuple[str, ...]:
    """Return the paths of the largest modules with a matrix whose weights are all in `reached`.

    Modules inside a tower (a module that contains one of the stacks) are returned only if there are none outside, since
    a norm or neck at the end of a tower belongs to it.
    """
    decoder = decoder_of(model)
    towers = [module for module in model.modules() if _holds(module, stacks) and not _holds(module, [decoder])]
    inside = {id(part) for tower in towers for part in tower.modules()}
    outer: list[str] = []
    inner: list[str] = []
    taken = ""
    for path, module in model.named_modules():
        names = [f"{path}.{name}" for name, _ in module.named_parameters()]
        if not path or (taken and path.startswith(f"{taken}.")) or not names or not reached.issuperset(names):
            continue
        taken = path
        if any(weight.ndim > 1 for weight in module.parameters()):
            (inner if id(module) in inside else outer).append(path)
    return tuple(outer or inner)


def _holds(module: nn.Module, parts: Sequence[nn.Module]) -> bool:
    return any(part is each for part in module.modules() for each in parts)
