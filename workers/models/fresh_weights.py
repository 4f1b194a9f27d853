"""Random weights in the place of trained ones, for training a mapping module from scratch."""

from __future__ import annotations

import math

import torch
from torch import nn

from workers.models.loaded_model import LoadedModel


@torch.no_grad()
def draw_weights(loaded: LoadedModel, seed: int) -> None:
    """Draw the trainable weights of a model anew, in place: norms at 1, biases at 0, matrices at random.

    The outputs of the last matrix have the scale of token embeddings, those of the others that of their inputs.

    Args:
        loaded: the model.
        seed: seed of the random numbers.

    Raises:
        ValueError: low-rank adapters are trained, which are random already.
    """
    if any(".lora_" in name for name in loaded.weights):
        raise ValueError("training from scratch needs whole weights, got low-rank adapters: leave --from-scratch out")
    generator = torch.Generator().manual_seed(seed)
    scale = float(loaded.model.get_input_embeddings().weight.float().std())
    last = [name for name, weight in loaded.weights.items() if weight.ndim > 1][-1:]
    for name, weight in loaded.weights.items():
        if weight.ndim == 1:
            weight.fill_(float(name.endswith("weight")))
        else:
            gain = scale if [name] == last else 1.0
            drawn = torch.empty(weight.shape).normal_(0, gain / math.sqrt(weight[0].numel()), generator=generator)
            weight.copy_(nn.Parameter(drawn))
