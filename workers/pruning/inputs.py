"""Defines the inputs of pruning besides the weights: norms of input features, and masks from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from spaces.pruning import Calibration

Norms = Mapping[Calibration, Mapping[str, Tensor]]
"""Calibration -> linear layer (`BLOCK.PATH`, such as `3.self_attn.q_proj`) -> norms.

The norms are the L2 norms of the layer's input features over the calibration tokens, (inputs,) float32.
"""
Masks = Mapping[str, Tensor]
"""Linear layer, named as above -> bool mask, (outputs, inputs), True for a kept weight."""


@dataclass(frozen=True)
class PruningInputs:
    """Norms and masks, which a worker computes or reads once for all plans."""

    norms: Norms = field(default_factory=dict)
    """Empty if no plan needs calibration."""
    masks: Masks | None = None
    """None without a mask file."""


def layer_name(block: int, path: str) -> str:
    """Return the name of a linear layer of a block in norms and masks."""
    return f"{block}.{path}"
