"""Runs decoder blocks and records what they and their children read and return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Call:
    """The arguments that the decoder passes to a block."""

    hidden: Tensor
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def run(self, block: nn.Module) -> Any:
        """Return the output of a block for these arguments."""
        return block(self.hidden, *self.args, **self.kwargs)


@torch.no_grad()
def calls_of(decoder: nn.Module, blocks: Sequence[nn.Module], inputs: Mapping[str, Any]) -> list[Call]:
    """Run a decoder once and return the call of each block.

    Args:
        decoder: the module that runs the blocks.
        blocks: its blocks, in order.
        inputs: keyword arguments of the decoder.
    """
    calls: list[Call] = []

    def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        named = dict(kwargs)
        hidden = args[0] if args else named.pop("hidden_states")
        calls.append(Call(hidden, args[1:], named))

    hooks = [block.register_forward_pre_hook(note, with_kwargs=True) for block in blocks]
    try:
        decoder(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


@dataclass(frozen=True)
class Flow:
    """First input and output of every child of a block in one run, and the block's output."""

    inputs: dict[nn.Module, Tensor]
    outputs: dict[nn.Module, Any]
    output: Any

    def source(self, value: Tensor) -> nn.Module | None:
        """Return the norm (a child without matrices) that produced a tensor, or None."""
        for module, output in self.outputs.items():
            if isinstance(output, Tensor) and output.data_ptr() == value.data_ptr():
                return module if all(weight.ndim <= 1 for weight in module.parameters()) else None
        return None


def flow_of(block: nn.Module, call: Call) -> Flow:
    """Run a block and return its flow."""
    inputs: dict[nn.Module, Tensor] = {}
    outputs: dict[nn.Module, Any] = {}

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        inputs[module] = args[0] if args else kwargs["hidden_states"]
        outputs[module] = output

    hooks = [child.register_forward_hook(note, with_kwargs=True) for child in block.children()]
    try:
        return Flow(inputs, outputs, call.run(block))
    finally:
        for hook in hooks:
            hook.remove()
