"""Runs blocks with pruned weights: `with pruned(parts, plan, inputs): ...`.

The `forward` of layer instances is replaced and, if the block becomes narrower, their sizes; the weights of the model
are never changed. Removed channels and heads are not computed, and removed heads are not cached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor, nn

from spaces.plan import Plan, PlanError
from spaces.pruning import FULL, Linears, Method, Pruning
from workers.blocks.anatomy import Parts
from workers.blocks.patch import Change, patched
from workers.pruning.inputs import PruningInputs, layer_name
from workers.pruning.linears import attention_roles, ffn_roles, linears_of
from workers.pruning.masks import keep_mask, scores
from workers.pruning.width import Cut, cut_channels, cut_heads

_HEAD_COUNTS = ("num_heads", "num_attention_heads", "num_key_value_heads")
"""Attributes that some attention modules use to reshape the outputs of their projections."""


@contextmanager
def pruned(parts: Sequence[Parts], plan: Plan, inputs: PruningInputs) -> Iterator[None]:
    """Apply the prunings of a plan to the blocks, inside the `with` block.

    Args:
        parts: the parts of each block.
        plan: the plan.
        inputs: norms and masks for its prunings.

    Raises:
        PlanError: a block does not support its pruning, or `inputs` lack norms or masks. Nothing is changed.
    """
    blocks = [
        _Block(index, parts[index], block.pruning, inputs)
        for index, block in enumerate(plan.blocks)
        if block.pruning is not None
    ]
    changes = [change for block in blocks for change in block.changes()]
    with patched(changes):
        yield


def pruned_state(index: int, parts: Parts, pruning: Pruning, inputs: PruningInputs) -> dict[str, Tensor]:
    """Return the weights and biases of the pruned linear layers of a block, by their names in its state dict.

    Args:
        index: index of the block, from 0.
        parts: its parts.
        pruning: its pruning.
        inputs: norms and masks for the pruning.

    Raises:
        PlanError: the block does not support the pruning, or `inputs` lack the norms or masks.
    """
    block = _Block(index, parts, pruning, inputs)
    state = {}
    for path in block.layers:
        state[f"{path}.weight"] = block.weight(path)
        bias = block.bias(path)
        if bias is not None:
            state[f"{path}.bias"] = bias
    return state


def head_counts(parts: Parts, pruning: Pruning) -> dict[str, int]:
    """Return the numbers of remaining heads by attribute of the attention module; empty at full head width."""
    if pruning.head_width == FULL:
        return {}
    groups = attention_roles(parts, "the block").num_groups
    return {
        name: vars(parts.attention)[name] * pruning.kept_groups(groups) // groups
        for name in _HEAD_COUNTS
        if name in vars(parts.attention)
    }


class _Block:
    """One block and its pruning."""

    def __init__(self, index: int, parts: Parts, pruning: Pruning, inputs: PruningInputs) -> None:
        self._index, self._parts, self._pruning, self._inputs = index, parts, pruning, inputs
        self._where = f"block {index}"
        self.layers: dict[str, nn.Linear] = {}
        for sublayer in (Linears.ATTENTION, Linears.FFN):
            if pruning.sparsifies(sublayer) or (pruning.narrows and self._width(sublayer) < FULL):
                self.layers |= linears_of(parts, sublayer)
        self._paths = {each: path for path, each in self.layers.items()}
        self._cuts = self._cut()

    def changes(self) -> Iterator[Change]:
        """Yield the attributes to set, with their values."""
        for path, layer in self.layers.items():
            weight = self.weight(path)
            yield layer, "forward", _linear(weight, self.bias(path))
            yield layer, "out_features", weight.shape[0]
            yield layer, "in_features", weight.shape[1]
        for name, count in head_counts(self._parts, self._pruning).items():
            yield self._parts.attention, name, count

    def weight(self, path: str) -> Tensor:
        """Return the pruned weight of a layer as a new tensor, (outputs, inputs)."""
        layer = self.layers[path]
        cut = self._cuts.get(layer, Cut())
        weight = cut.of(layer.weight.detach())
        sublayer = Linears.ATTENTION if layer in set(self._parts.attention.modules()) else Linears.FFN
        if not self._pruning.sparsifies(sublayer):
            return weight
        return weight * self._mask(path, weight, cut)

    def bias(self, path: str) -> Tensor | None:
        """Return the pruned bias of a layer, (outputs,); None if the layer has no bias."""
        layer = self.layers[path]
        return None if layer.bias is None else self._cuts.get(layer, Cut()).of_bias(layer.bias.detach())

    def _mask(self, path: str, weight: Tensor, cut: Cut) -> Tensor:
        if self._pruning.method is Method.SAVED:
            return self._saved(path, weight)
        norms = None
        if self._pruning.method is Method.WANDA:
            norms = self._norms(path)
            norms = norms if cut.columns is None else norms[cut.columns]
        assert self._pruning.method is not None
        return keep_mask(scores(weight, self._pruning.method, norms), self._pruning)

    def _saved(self, path: str, weight: Tensor) -> Tensor:
        masks = self._inputs.masks
        if masks is None:
            raise PlanError(
                f"'{{saved}}' needs a mask file of the model, got it at {self._where} without one: give --masks, or "
                "pass apply_plan the masks that workers.pruning.files reads"
            )
        return masks[layer_name(self._index, path)].to(weight.device)

    def _norms(self, path: str) -> Tensor:
        found = self._inputs.norms.get(self._pruning.calibration)
        if found is None:
            raise PlanError(
                f"Wanda and widths need norms of the input features, got them at {self._where} without norms: pass "
                "apply_plan those of workers.pruning.calibrate, or prune by magnitude"
            )
        return found[layer_name(self._index, path)]

    def _width(self, sublayer: Linears) -> int:
        return self._pruning.head_width if sublayer is Linears.ATTENTION else self._pruning.ffn_width

    def _cut(self) -> dict[nn.Linear, Cut]:
        cuts: dict[nn.Linear, Cut] = {}
        if self._pruning.ffn_width < FULL:
            ffn = ffn_roles(self._parts, self._where)
            count = self._pruning.kept_channels(ffn.out.in_features)
            cuts |= cut_channels(ffn, self._norms(self._paths[ffn.out]), count)
        if self._pruning.head_width < FULL:
            heads = attention_roles(self._parts, self._where)
            count = self._pruning.kept_groups(heads.num_groups)
            cuts |= cut_heads(heads, self._norms(self._paths[heads.output]), count)
        return cuts


def _linear(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    return lambda hidden: F.linear(hidden, weight, bias)
