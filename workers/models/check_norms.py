"""Refuses decoders whose attention or FFN reads no norm's output, on the decoder without weights.

The config and the modules of a post-norm block, x + norm(attention(x)), do not differ from those of a pre-norm one.
`workers.blocks.anatomy` refuses it after the model is loaded; this check refuses it before the weights are read.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from spaces.plan import PlanError
from workers.blocks.anatomy import attention_of, find_blocks
from workers.models.count_blocks import run_decoder

NUM_ROWS = 7
"""Prompt tokens of the run."""


def check_norms(model: nn.Module) -> None:
    """Check that the attention of every decoder block reads the output of a norm of that block.

    Args:
        model: without weights.

    Raises:
        PlanError: a block is not pre-norm; the message names the first such block.
    """
    path, blocks = find_blocks(model)
    inputs: dict[nn.Module, Any] = {}
    outputs: dict[nn.Module, Any] = {}

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        inputs[module] = args[0] if args else kwargs.get("hidden_states")
        outputs[module] = output

    with ExitStack() as stack:
        for child in (child for block in blocks for child in (block, *block.children())):
            stack.callback(child.register_forward_hook(note, with_kwargs=True).remove)
        run_decoder(model, NUM_ROWS)
    for index, block in enumerate(blocks):
        if not isinstance(outputs.get(block), Tensor):
            raise PlanError(
                f"every decoder block must return its hidden states alone, got a {type(outputs.get(block)).__name__} "
                f"from {path}.{index}; take another model"
            )
        norms = [child for child in block.children() if all(weight.ndim <= 1 for weight in child.parameters())]
        read = inputs.get(attention_of(block))
        if isinstance(read, Tensor) and not any(outputs.get(norm) is read for norm in norms):
            raise PlanError(
                f"every decoder block must be a pre-norm residual one, got {path}.{index}: its attention doesn't read "
                "the output of a norm; take another model"
            )
