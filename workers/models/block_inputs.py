"""Determines what attention and FFN of each decoder block read, by running the decoder without weights.

Post-norm blocks, x + norm(attention(x)), are not supported, but have the same config and modules as pre-norm blocks.
`parallel_blocks` rejects them before the weights are read, `workers.blocks.anatomy` after the model is loaded.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from spaces.plan import PlanError
from workers.blocks.anatomy import attention_of, find_blocks
from workers.models.count_blocks import run_decoder

NUM_ROWS = 7
"""Number of prompt tokens of the run."""

Calls = dict[nn.Module, tuple[Any, Any]]
"""Module -> input and output of its last call, in the order of the calls."""


def parallel_blocks(model: nn.Module) -> list[bool]:
    """Return, per decoder block, True if its FFN reads the input of the block and not the output of its attention.

    Args:
        model: a model without weights (`meta_model`).

    Raises:
        PlanError: a block is not pre-norm; the message names the first such block.
    """
    path, blocks = find_blocks(model)
    calls = _run(model, blocks)
    return [_is_parallel(f"{path}.{index}", block, calls) for index, block in enumerate(blocks)]


def sublayer_places(model: nn.Module) -> list[dict[str, Any]]:
    """Return, per decoder block, the paths of attention, FFN and their norms, as `part_paths` has them with weights.

    Args:
        model: without weights, of blocks that `parallel_blocks` accepts.
    """
    _, blocks = find_blocks(model)
    calls = _run(model, blocks)
    return [_places(block, calls) for block in blocks]


def _places(block: nn.Module, calls: Calls) -> dict[str, Any]:
    names = {child: name for name, child in block.named_children()}
    norms, attention = _norms(block, calls), attention_of(block)
    ffn = [module for module in calls if module in names and module not in (attention, *norms)]
    places: dict[str, Any] = {"attention": names[attention], "ffn": [names[module] for module in ffn]}
    for what, module in (("attention_norm", attention), ("ffn_norm", ffn[0])):
        norm = _norm_before(module, norms, calls)
        assert norm is not None, "parallel_blocks refuses such a block"
        places[what] = names[norm]
    return places


def _run(model: nn.Module, blocks: nn.ModuleList) -> Calls:
    """Run the decoder and return the calls of its blocks and their children."""
    calls: Calls = {}

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        calls[module] = (args[0] if args else kwargs.get("hidden_states"), output)

    with ExitStack() as stack:
        for module in (module for block in blocks for module in (block, *block.children())):
            stack.callback(module.register_forward_hook(note, with_kwargs=True).remove)
        run_decoder(model, NUM_ROWS)
    return calls


def _is_parallel(path: str, block: nn.Module, calls: Calls) -> bool:
    if not isinstance(calls[block][1], Tensor):
        raise PlanError(
            f"every decoder block must return its hidden states alone, got a {type(calls[block][1]).__name__} "
            f"from {path}; take another model"
        )
    attention, children, norms = attention_of(block), set(block.children()), _norms(block, calls)
    ffn = next((module for module in calls if module in children and module not in (attention, *norms)), None)
    for name, module in (("attention", attention), ("FFN", ffn)):
        if module in calls and _norm_before(module, norms, calls) is None:
            raise PlanError(
                f"every decoder block must be a pre-norm residual one, got {path}: its {name} doesn't read the output "
                "of a norm; take another model"
            )
    norm = _norm_before(ffn, norms, calls)
    return norm is not None and calls[norm][0] is calls[block][0]


def _norms(block: nn.Module, calls: Calls) -> list[nn.Module]:
    """Return the children of a block that ran and have no matrices."""
    ran = set(block.children()) & calls.keys()
    return [child for child in ran if all(weight.ndim <= 1 for weight in child.parameters())]


def _norm_before(module: nn.Module | None, norms: list[nn.Module], calls: Calls) -> nn.Module | None:
    """Return the norm whose output is the input of a module; None if there is none."""
    return next((norm for norm in norms if module in calls and calls[norm][1] is calls[module][0]), None)
