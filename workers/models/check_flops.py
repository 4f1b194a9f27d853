"""Compares the closed-form FLOPs of a decoder with those that torch counts on the decoder without weights.

Blocks with heads of different sizes, attention with extra projections, or a module that runs on fewer rows can have
the same config keys and number of weights as ordinary blocks. Counting shows that the closed form is wrong for them.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from objectives.flops import flops
from objectives.workload import Workload
from spaces.plan import Plan
from spaces.shape import ModelShape
from workers.blocks.anatomy import CROSS_ARGUMENT, decoder_of, find_blocks, is_cross, text_config
from workers.blocks.patch import patched
from workers.blocks.zero_output import mute
from workers.models.meta_model import META, Weightless

NUM_ROWS = 7
"""Number of prompt tokens for which FLOPs are counted."""


def check_flops(model: nn.Module, shape: ModelShape) -> None:
    """Check that the closed-form FLOPs of the dense prefill equal those that torch counts.

    Args:
        model: without weights, with eager attention.
        shape: shape of the model, from which the closed form is computed.

    Raises:
        ValueError: the two differ, or a block has more than one kind of experts.
    """
    name = text_config(model).model_type
    counted, wanted = _counted(model, name), _closed_form(shape, has_cross=any(map(is_cross, find_blocks(model)[1])))
    if counted != wanted:
        raise ValueError(
            f"FLOPs of a decoder in closed form must be those that torch counts, got {wanted:.0f} for {counted:.0f} "
            f"counted in the text decoder {name!r}: its blocks are no ordinary ones, take another model"
        )


def _closed_form(shape: ModelShape, has_cross: bool) -> float:
    workload = Workload(
        visual_tokens=0,
        text_tokens=NUM_ROWS,
        generated_tokens=1,
        cross_tokens=NUM_ROWS if has_cross else 0,
        vision_flops=0,
        projector_flops=0,
    )
    return flops(shape, Plan.dense(shape.num_blocks), workload).prefill


def _counted(model: nn.Module, name: str) -> float:
    """Return the FLOPs of the blocks for a prompt; for experts, those of the active experts in closed form."""
    blocks = find_blocks(model)[1]
    text = text_config(model)
    experts = [_experts(block) for block in blocks]
    if any(len(each) > 1 for each in experts):
        raise ValueError(
            f"a decoder block must have one kind of experts, got {max(map(len, experts))} in text decoder {name!r}: "
            "which of them a row runs can't be read off its config, take another model"
        )
    muted = [module for each in experts for module in each]
    active: float = sum(2 * NUM_ROWS * text.num_experts_per_tok * _weights_per_expert(module) for module in muted)
    with ExitStack() as stack:
        counter = stack.enter_context(FlopCounterMode(display=False))
        spent = _note(blocks, counter, stack)
        run_decoder(model)
    return sum(spent) + active


def _note(blocks: nn.ModuleList, counter: FlopCounterMode, stack: ExitStack) -> list[int]:
    """Return a list that is filled with the FLOPs counted inside each block."""
    spent: list[int] = []

    def begin(*_: Any) -> None:
        spent.append(-counter.get_total_flops())

    def end(*_: Any) -> None:
        spent[-1] += counter.get_total_flops()

    for block in blocks:
        stack.callback(block.register_forward_pre_hook(begin).remove)
        stack.callback(block.register_forward_hook(end).remove)
    return spent


def run_decoder(model: nn.Module) -> None:
    """Run the decoder of a model without weights on a prompt.

    Experts return zeros, because routing needs weights.

    Raises:
        ValueError: another part of the decoder needs values instead of shapes.
    """
    blocks, text = find_blocks(model)[1], text_config(model)
    has_cross = any(map(is_cross, blocks))
    experts = [(module, "forward", mute(module)) for block in blocks for module in _experts(block)]
    rows = torch.empty(1, NUM_ROWS, text.hidden_size, device=META)
    features: dict[str, Tensor] = {CROSS_ARGUMENT: rows} if has_cross else {}
    mask = torch.ones(1, NUM_ROWS, dtype=torch.long)
    try:
        with torch.no_grad(), Weightless(), patched(experts):
            decoder_of(model)(inputs_embeds=rows, attention_mask=mask, use_cache=False, **features)
    except Exception as error:  # models that need values raise any kind of error
        why = " ".join(str(error).split())[:200]
        raise ValueError(
            f"a decoder must run without weights to have its FLOPs counted, got {type(error).__name__} ({why}) in the "
            f"text decoder {text.model_type!r}: take another model"
        ) from error


def _experts(block: nn.Module) -> list[nn.Module]:
    """Return the modules of a block that store the weights of all experts in one tensor."""
    return [module for module in block.modules() if any(each.ndim == 3 for each in module.parameters(recurse=False))]


def _weights_per_expert(module: nn.Module) -> int:
    return sum(weight.numel() // len(weight) for weight in module.parameters(recurse=False) if weight.ndim == 3)
