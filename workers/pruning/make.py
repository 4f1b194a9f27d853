"""Makes the masks of a whole model: by magnitude or Wanda, or from a mask file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from spaces.pruning import Linears, Pruning
from workers.blocks.anatomy import anatomy_of
from workers.blocks.attention_of_rows import KEY, VALUE
from workers.pruning.files import MaskFile
from workers.pruning.inputs import Masks, layer_name
from workers.pruning.linears import linears_of, prunable
from workers.pruning.masks import keep_mask, scores


def make_masks(model: nn.Module, pruning: Pruning, norms: Mapping[str, Tensor] | None) -> Masks:
    """Return the masks of all linear layers of the decoder blocks; layers that are not pruned keep all weights.

    Args:
        model: the model.
        pruning: a pruning by magnitude or Wanda, without widths.
        norms: layer -> (inputs,) norms over the tokens of the pruning's calibration; None for magnitude.

    Raises:
        PlanError: weights of a sub-layer to prune cannot be pruned.
    """
    assert pruning.is_mask and pruning.method is not None, "checked by the caller"
    for parts in anatomy_of(model).parts:
        linears_of(parts, pruning.linears)
    masks = {}
    for name, sublayer, layer in _layers(model):
        if pruning.sparsifies(sublayer):
            scored = scores(layer.weight, pruning.method, norms[name] if norms else None)
            masks[name] = keep_mask(scored, pruning)
        else:
            masks[name] = torch.ones_like(layer.weight, dtype=torch.bool)
    return masks


def mask_file(model: nn.Module, masks: Masks, source: Mapping[str, object]) -> MaskFile:
    """Return the masks of a model as a mask file.

    Args:
        model: the model.
        masks: layer -> (outputs, inputs) bool.
        source: origin of the masks.
    """
    roles = {}
    for name, sublayer, _ in _layers(model):
        is_key = name.rpartition(".")[2] in (KEY, VALUE)
        roles[name] = "ffn" if sublayer is Linears.FFN else "key_and_value" if is_key else "query_and_output"
    return MaskFile.of({name: mask.cpu().numpy() for name, mask in masks.items()}, roles, source)


def masks_for(model: nn.Module, file: MaskFile) -> Masks:
    """Return the masks of a file as tensors, on the devices of a model's layers.

    Raises:
        ValueError: the layers of the file are not those of the model.
    """
    layers = {name: layer for name, _, layer in _layers(model)}
    shapes = {name: (layer.out_features, layer.in_features) for name, layer in layers.items()}
    if shapes != dict(file.shapes):
        odd = next(iter(set(shapes.items()) ^ set(file.shapes.items())))
        raise ValueError(
            f"masks must be those of the model, got a file that differs from it in {odd[0]} "
            f"({' x '.join(map(str, odd[1]))}): make masks of this model with python -m workers.pruning"
        )
    return {name: torch.from_numpy(file.mask(name)).to(layer.weight.device) for name, layer in layers.items()}


def _layers(model: nn.Module) -> Iterator[tuple[str, Linears, nn.Linear]]:
    for index, parts in enumerate(anatomy_of(model).parts):
        for sublayer in (Linears.ATTENTION, Linears.FFN):
            for path, layer in prunable(parts)[sublayer].items():
                yield layer_name(index, path), sublayer, layer
