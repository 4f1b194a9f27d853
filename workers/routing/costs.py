"""Computes the FLOPs of each question under each plan, from the question's own numbers of tokens. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from objectives.flops import flops
from objectives.workload import Workload
from spaces.plan import Plan
from spaces.shape import ModelShape

Tokens = tuple[int, int, int, int]
"""Visual tokens, text tokens, generated tokens and images of a question."""


def question_flops(
    shape: ModelShape, plans: Sequence[Plan], tokens: Sequence[Tokens], mean: Workload
) -> NDArray[np.float64]:
    """Return the FLOPs of each question under each plan, as it runs by remote code, (Q, K).

    A counted vision tower and projector cost the mean of the data set for every question: no plan changes them.

    Args:
        shape: shape of the dense model.
        plans: K plans.
        tokens: token counts of Q questions.
        mean: mean workload of the data set.
    """
    distinct = sorted(set(tokens))
    table = {each: [flops(shape, plan, _workload(each, mean)).total for plan in plans] for each in distinct}
    return np.array([table[each] for each in tokens], dtype=np.float64)


def _workload(tokens: Tokens, mean: Workload) -> Workload:
    visual, text, generated, images = tokens
    extra = visual + text - 1 if mean.extra_head_rows else 0
    return replace(
        mean, visual_tokens=visual, text_tokens=text, generated_tokens=generated, images=images, extra_head_rows=extra,
        batch=1,
    )  # fmt: skip
