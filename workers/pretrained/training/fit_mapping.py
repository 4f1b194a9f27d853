"""Fits the mapping module to visual tokens that were learned per class: the second stage of the training.

The language model is not needed: the mapping module learns by least squares to give the token of an image's color and
shape at every place of the image.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

RATE = 1e-3
IMAGES = 64
"""Images per step."""


def fit(mapping: nn.Module, features: Tensor, targets: Tensor, steps: int, seed: int) -> float:
    """Train a mapping module to give the target of an image at all its places; return the last mean squared error.

    Args:
        mapping: the mapping module, float32, changed in place.
        features: (images, places, vision width) float32.
        targets: (images, width) float32.
        steps: number of steps of Adam; the rate falls linearly to zero.
        seed: seed of the order of the images.

    Returns:
        Mean squared distance between output and target, relative to the mean squared distance between the targets and
        their mean.
    """
    rng, optimizer = np.random.default_rng(seed), torch.optim.Adam(mapping.parameters())
    spread, error = (targets - targets.mean(0)).square().sum(-1).mean(), 1.0
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
        rows = torch.from_numpy(rng.permutation(len(targets))[:IMAGES])
        loss = (mapping(features[rows]) - targets[rows][:, None]).square().sum(-1).mean() / spread
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        error = loss.item()
    return error
