"""Refuses decoders whose attention or FFN reads no norm's output, on the decoder without weights.

A post-norm block, x + norm(attention(x)), can't be told from a pre-norm one by its config or by its modules.
`workers.blocks.anatomy` refuses it when the model is loaded; here the flow of a prompt shows it before that.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from spaces.plan import PlanError
from workers.blocks.anatomy import attention_of, find_blocks
from workers.models.check_flops import run_decoder


def check_norms(model: nn.Module) -> None:
    """Raise PlanError for the first block whose attention reads what no child of the block without matrices wrote."""
    path, blocks = find_blocks(model)
    inputs: dict[nn.Module, Any] = {}
    outputs: dict[nn.Module, Any] = {}

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        inputs[module] = args[0] if args else kwargs.get("hidden_states")
        outputs[module] = output

    with ExitStack() as stack:
        for child in (child for block in blocks for child in block.children()):
            stack.callback(child.register_forward_hook(note, with_kwargs=True).remove)
        run_decoder(model)
    for index, block in enumerate(blocks):
        norms = [child for child in block.children() if all(weight.ndim <= 1 for weight in child.parameters())]
        read = inputs.get(attention_of(block))
        if isinstance(read, Tensor) and not any(outputs.get(norm) is read for norm in norms):
            raise PlanError(
                f"every decoder block must be a pre-norm residual one, got {path}.{index}: its attention doesn't read "
                "the output of a norm; take another model"
            )
