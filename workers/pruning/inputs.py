"""What pruning needs to know beside the weights: norms of input features, masks from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from spaces.pruning import Calibration

Norms = Mapping[Calibration, Mapping[str, Tensor]]
"""Per choice of tokens and linear layer (`BLOCK.PATH`, such as `3.self_attn.q_proj`) the (inputs,) float32 L2 norms of
its input features over the calibration tokens."""
Masks = Mapping[str, Tensor]
"""Per linear layer, named as above, an (outputs, inputs) bool mask, true where a weight stays."""


@dataclass(frozen=True)
class PruningInputs:
    """What a worker computes or reads once and hands to every pruned plan."""

    norms: Norms = field(default_factory=dict)
    masks: Masks | None = None


def layer_name(block: int, path: str) -> str:
    """The name of a linear layer of a block in norms and masks."""
    return f"{block}.{path}"
