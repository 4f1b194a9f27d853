"""Finds the linear layers of a decoder block and their roles, for pruning.

Weights of any `nn.Linear` can be zeroed. Channels and heads can be removed if attention has separate q, k, v and output
projections and the FFN has one or two linear layers into its channels and one out of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from spaces.plan import PlanError
from spaces.pruning import Linears
from workers.blocks.anatomy import Parts
from workers.blocks.attention_of_rows import KEY, QUERY, VALUE


@dataclass(frozen=True)
class AttentionRoles:
    """The projections of an attention in which the rows of each head are contiguous."""

    queries: nn.Linear
    keys: nn.Linear
    values: nn.Linear
    output: nn.Linear
    head_size: int

    @property
    def num_groups(self) -> int:
        """Return the number of head groups: key-value heads, each with the query heads that share it."""
        return self.keys.out_features // self.head_size

    @property
    def group_size(self) -> int:
        """Return the number of rows of the query projection, and of columns of the output projection, per group."""
        return self.queries.out_features // self.num_groups


@dataclass(frozen=True)
class FfnRoles:
    """The linear layers of an FFN: into its channels (one, or two if it is gated) and out of them."""

    into: tuple[nn.Linear, ...]
    out: nn.Linear


def linears_of(parts: Parts, sublayer: Linears) -> dict[str, nn.Linear]:
    """Return the linear layers of the attention, the FFN or both by path in the block, in the order of the modules.

    Args:
        parts: the parts of the block.
        sublayer: the sub-layer, or `all`.

    Raises:
        PlanError: some weights of that sub-layer are in no linear layer, or it is cross-attention, whose keys and
            values are computed from image features.
    """
    if parts.is_cross and sublayer is not Linears.FFN:
        raise PlanError(
            "the weights of cross-attention can't be pruned, got a block with attention to image features: prune its "
            "FFN only"
        )
    roots = {Linears.ATTENTION: (parts.attention,), Linears.FFN: parts.ffn}
    chosen = [root for own, modules in roots.items() if sublayer in (own, Linears.ALL) for root in modules]
    inside = {module for root in chosen for module in root.modules()}
    linears = {
        path: each for path, each in parts.block.named_modules() if each in inside and isinstance(each, nn.Linear)
    }
    known = {id(each.weight) for each in linears.values()}
    others = [
        name
        for root in chosen
        for name, weight in root.named_parameters()
        if weight.ndim > 1 and id(weight) not in known
    ]
    if others or not linears:
        raise PlanError(
            f"weights can be pruned in linear layers, got {others[0] if others else 'no linear layer'} in the "
            f"{type(chosen[0]).__name__} of a block: leave the pruning out"
        )
    return linears


def prunable(parts: Parts) -> dict[Linears, dict[str, nn.Linear]]:
    """Return the linear layers by sub-layer, then by path; none for a sub-layer whose weights cannot be pruned."""
    found: dict[Linears, dict[str, nn.Linear]] = {}
    for sublayer in (Linears.ATTENTION, Linears.FFN):
        try:
            found[sublayer] = linears_of(parts, sublayer)
        except PlanError:
            found[sublayer] = {}
    return found


def attention_roles(parts: Parts, where: str) -> AttentionRoles:
    """Return the roles of the linear layers of an attention.

    Args:
        parts: the parts of the block.
        where: name of the block, for the error message.

    Raises:
        PlanError: the heads cannot be separated.
    """
    linears = {path.rpartition(".")[2]: each for path, each in linears_of(parts, Linears.ATTENTION).items()}
    missing = [name for name in (QUERY, KEY, VALUE) if name not in linears]
    if missing:
        raise _refusal("heads", where, f"its attention has no separate {missing[0]}")
    others = [name for name in linears if name not in (QUERY, KEY, VALUE)]
    if len(others) != 1:
        raise _refusal("heads", where, f"besides q, k and v it has {', '.join(others) or 'no projection'}")
    output, size = linears[others[0]], getattr(parts.attention, "head_dim", 0)
    roles = AttentionRoles(linears[QUERY], linears[KEY], linears[VALUE], output, size)
    widths = (roles.queries.out_features, roles.keys.out_features, roles.values.out_features, output.in_features)
    if not size or widths[1] != widths[2] or widths[0] != widths[3] or widths[0] % widths[1] or widths[1] % size:
        raise _refusal(
            "heads", where, f"its projections are no whole heads of {size}: {', '.join(map(str, widths))} wide"
        )
    known = {id(weight) for each in linears.values() for weight in each.parameters()}
    for name, weight in parts.attention.named_parameters():
        if id(weight) not in known and weight.numel() != size:
            raise _refusal("heads", where, f"its {name} is not of one head")
    return roles


def ffn_roles(parts: Parts, where: str) -> FfnRoles:
    """Return the roles of the linear layers of an FFN.

    Args:
        parts: the parts of the block.
        where: name of the block, for the error message.

    Raises:
        PlanError: the channels cannot be separated.
    """
    *into, out = linears_of(parts, Linears.FFN).values()
    if not 1 <= len(into) <= 2 or any(
        (each.in_features, each.out_features) != (out.out_features, out.in_features) for each in into
    ):
        sizes = ", ".join(f"{each.in_features} to {each.out_features}" for each in (*into, out))
        raise _refusal("FFN channels", where, f"its linear layers are {sizes}, not into and out of the same channels")
    known = {id(weight) for each in (*into, out) for weight in each.parameters()}
    for module in parts.ffn:
        for name, weight in module.named_parameters():
            if id(weight) not in known:
                raise _refusal("FFN channels", where, f"its {name} is no part of a linear layer")
    return FfnRoles(tuple(into), out)


def _refusal(what: str, where: str, reason: str) -> PlanError:
    return PlanError(
        f"{what} can be removed only if each has separate weights, got {where}: {reason}; keep all of them"
    )
