"""Computes masks of weight matrices from scores.

Magnitude scores a weight by |w|, Wanda by |w| times the L2 norm of its input feature over the calibration tokens (Sun
et al. 2023, arXiv 2306.11695, section 3). The weights with the lowest scores in each output row are zeroed; the authors
of Wanda found that better than comparing over the whole matrix. Of equal scores, the first in the row are zeroed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spaces.pruning import Method, Pruning


def scores(weight: Tensor, method: Method, norms: Tensor | None) -> Tensor:
    """Return the scores of a weight matrix, (outputs, inputs) float32.

    Args:
        weight: (outputs, inputs).
        method: magnitude or Wanda.
        norms: (inputs,) L2 norms of the input features, for Wanda; None for magnitude.
    """
    magnitude = weight.detach().abs().float()
    if method is Method.MAGNITUDE:
        return magnitude
    assert norms is not None, "wanda goes with norms"
    return magnitude * norms.float()


def keep_mask(scored: Tensor, pruning: Pruning) -> Tensor:
    """Return a mask from scores, True for a kept weight; both are (outputs, inputs).

    Args:
        scored: scores of the weights.
        pruning: its sparsity, or its n:m pattern.
    """
    columns = scored.shape[1]
    if pruning.pattern is None:
        return _without_lowest(scored, columns - pruning.kept_weights(columns))
    kept, group = pruning.pattern
    whole = columns // group * group
    groups = _without_lowest(scored[:, :whole].unflatten(1, (-1, group)), group - kept).flatten(1)
    return torch.cat([groups, _without_lowest(scored[:, whole:], max(columns - whole - kept, 0))], dim=1)


def _without_lowest(scored: Tensor, count: int) -> Tensor:
    """Return a mask that is False at the `count` lowest scores of the last dimension."""
    lowest = scored.argsort(dim=-1, stable=True)[..., :count]
    return torch.ones_like(scored, dtype=torch.bool).scatter(-1, lowest, False)
