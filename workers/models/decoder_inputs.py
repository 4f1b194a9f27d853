"""Captures the inputs of the decoder for a question, by running the model up to the decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from workers.blocks.anatomy import decoder_of


def decoder_inputs(model: nn.Module, inputs: Mapping[str, Any]) -> list[Tensor]:
    """Return the floating-point tensors with which the decoder is called: embeddings and image features.

    Args:
        model: the model; the tensors have gradients if these are enabled.
        inputs: keyword arguments of the model, as its processor returns them.
    """
    given: list[Tensor] = []

    def stop(decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        leaves = tree_leaves((args, kwargs))
        given.extend(leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point())
        raise _Entered

    handle = decoder_of(model).register_forward_pre_hook(stop, with_kwargs=True)
    try:
        model(**inputs)
    except _Entered:
        pass
    finally:
        handle.remove()
    return given


class _Entered(Exception):
    """The decoder was reached."""


def weighted_sum(values: list[Tensor]) -> Tensor:
    """Return a scalar that depends on every element: the sum with fixed random weights, so that nothing cancels."""
    generator = torch.Generator().manual_seed(0)
    terms = [(each.float() * torch.randn(each.shape, generator=generator).to(each.device)).sum() for each in values]
    return torch.stack(terms).sum()
