"""Determines if `generate` runs the LM head on all rows of a prompt, on a model without weights."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from workers.blocks.patch import patched
from workers.blocks.zero_output import mute
from workers.models.count_blocks import experts_without_values
from workers.models.meta_model import META, Weightless

LAST_ROW = "logits_to_keep"
"""Argument with which transformers' `generate` requests the logits of the last row only."""


class _Reached(Exception):
    """Ends a run on entry to the LM head."""

    def __init__(self, rows: int) -> None:
        self.rows = rows


def runs_on_whole_prompt(model: Any, inputs: Mapping[str, Any]) -> bool:
    """Return True if the LM head runs on all rows of the prompt, False if on the last one only.

    Args:
        model: a model without weights (`meta_model`).
        inputs: keyword arguments of the model for one question.
    """

    def stop(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        raise _Reached(args[0].shape[:-1].numel())

    muted = [(module, "forward", mute(module)) for module in experts_without_values(model)]
    hook = model.get_output_embeddings().register_forward_pre_hook(stop)
    try:
        for run in (_generate, _forward):  # some models generate by their language model, without their own forward
            with torch.no_grad(), Weightless(), patched(muted):
                rows = _rows(model, inputs, run)
            if rows is not None:
                return rows > 1
    finally:
        hook.remove()
    return LAST_ROW not in signature(model.forward).parameters


def _rows(model: Any, inputs: Mapping[str, Any], run: Any) -> int | None:
    try:
        run(model, inputs)
    except _Reached as end:
        return end.rows
    except Exception:  # parts of `generate` may need values
        return None
    return None


def _generate(model: Any, inputs: Mapping[str, Any]) -> None:
    model.generate(**inputs, max_new_tokens=1, do_sample=False)


def _forward(model: Any, inputs: Mapping[str, Any]) -> None:
    """Run the `forward` that `generate` calls: the model's, or its language model's if `generate` delegates to it."""
    from transformers import GenerationMixin, PreTrainedModel

    head = model.get_output_embeddings()
    parts = [each for each in model.modules() if isinstance(each, PreTrainedModel) and head in each.modules()]
    hands_over = type(model).generate is not GenerationMixin.generate and len(parts) > 1
    owner = parts[-1] if hands_over else model
    if hands_over:
        embeddings = torch.empty(1, inputs["input_ids"].shape[1], head.in_features, device=META)
        inputs = {"inputs_embeds": embeddings, "attention_mask": inputs["attention_mask"]}
    owner(**inputs, **({LAST_ROW: 1} if LAST_ROW in signature(owner.forward).parameters else {}))
