"""Checks that a model computes no NaN or infinity, which fails a trial."""

from __future__ import annotations

import torch
from torch import Tensor


class NonFinite(ArithmeticError):
    """The model computed NaN or infinity."""


def check_logits(logits: Tensor) -> None:
    """Raise NonFinite if a logit is NaN or infinite."""
    if not torch.isfinite(logits).all():
        raise NonFinite("logits must be finite, got NaN or infinity")
