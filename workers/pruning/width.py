"""Selects the FFN channels and head groups that remain, and cuts the matrices of a block accordingly.

The importance of a channel is its contribution to the block's output over the calibration tokens: the L2 norm of its
activation times that of its column in the output matrix. This is Wanda's score summed (in squares) over the column,
"Wanda-sp" in An et al. 2023 (FLAP, arXiv 2312.11983). A head group sums over the columns of all its query heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.pruning.linears import AttentionRoles, FfnRoles


@dataclass(frozen=True)
class Cut:
    """Indices of the remaining rows (outputs) and columns (inputs) of one linear layer, ascending; None for all."""

    rows: Tensor | None = None
    columns: Tensor | None = None

    def of(self, weight: Tensor) -> Tensor:
        """Return the remaining rows and columns of an (outputs, inputs) matrix."""
        weight = weight if self.rows is None else weight[self.rows]
        return weight if self.columns is None else weight[:, self.columns]

    def of_bias(self, bias: Tensor | None) -> Tensor | None:
        """Return the remaining entries of an (outputs,) bias."""
        return bias if bias is None or self.rows is None else bias[self.rows]


def cut_channels(roles: FfnRoles, norms: Tensor, count: int) -> dict[nn.Linear, Cut]:
    """Return the cuts, by layer, that keep the `count` most important channels.

    Args:
        roles: the linear layers of the FFN.
        norms: (channels,) L2 norms of the input features of the output matrix.
        count: number of channels to keep.
    """
    kept = _most_important(_column_importance(roles.out.weight, norms), count)
    return {**{each: Cut(rows=kept) for each in roles.into}, roles.out: Cut(columns=kept)}


def cut_heads(roles: AttentionRoles, norms: Tensor, count: int) -> dict[nn.Linear, Cut]:
    """Return the cuts, by layer, that keep the `count` most important head groups.

    Args:
        roles: the projections of the attention.
        norms: (query heads * head size,) L2 norms of the input features of the output projection.
        count: number of groups to keep.
    """
    importance = _column_importance(roles.output.weight, norms).view(roles.num_groups, roles.group_size).sum(1)
    kept = _most_important(importance, count)
    queries, keys = _spans(kept, roles.group_size), _spans(kept, roles.head_size)
    return {
        roles.queries: Cut(rows=queries),
        roles.keys: Cut(rows=keys),
        roles.values: Cut(rows=keys),
        roles.output: Cut(columns=queries),
    }


def _column_importance(weight: Tensor, norms: Tensor) -> Tensor:
    """Return the (inputs,) float64 squared contributions of the input features to the outputs."""
    return norms.double().square() * weight.detach().double().square().sum(0)


def _most_important(importance: Tensor, count: int) -> Tensor:
    """Return the ascending indices of the `count` largest values; of equals, the first."""
    return importance.argsort(descending=True, stable=True)[:count].sort().values


def _spans(starts: Tensor, size: int) -> Tensor:
    """Return the indices of the spans [s * size, (s + 1) * size), concatenated."""
    return (starts[:, None] * size + torch.arange(size, device=starts.device)).flatten()
