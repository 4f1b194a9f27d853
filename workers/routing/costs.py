"""Computes the FLOPs of each question under each plan, from the question's own numbers of tokens. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from objectives.flops import flops
from objectives.workload import Workload
from spaces.plan import Op, Plan
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


def saved_flops(
    shape: ModelShape, first: Plan, second: Plan, tokens: Sequence[Tokens], mean: Workload, same_weights: bool
) -> NDArray[np.float64]:
    """Return the FLOPs that answering with a second plan saves if a first one has answered the question, (Q,).

    The output of the vision tower is the same under all plans. With the same weights of the mapping module, so are its
    output, and the hidden states, keys and values of the prompt in all blocks before the first one in which the plans
    differ. Generated tokens may differ, so that nothing of them is counted as shared.

    Args:
        shape: shape of the dense model.
        first, second: the plans.
        tokens: token counts of Q questions.
        mean: mean workload of the data set.
        same_weights: True if both plans have the same mapping module and other tuned weights.
    """
    shared = num_shared_blocks(first, second) if same_weights else 0
    rest = Plan.of([*[Op.SKIP_BLOCK] * shared, *second.blocks[shared:]])

    def saved(workload: Workload) -> float:
        whole = flops(shape, second, workload)
        again = flops(shape, rest, workload)
        return whole.vision + (whole.projector + whole.prefill - again.prefill if same_weights else 0.0)

    table = {each: saved(_workload(each, mean)) for each in set(tokens)}
    return np.array([table[each] for each in tokens], dtype=np.float64)


def num_shared_blocks(first: Plan, second: Plan) -> int:
    """Return the number of blocks before the first one in which two plans differ."""
    pairs = zip(first.blocks, second.blocks, strict=True)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), len(first))


def _workload(tokens: Tokens, mean: Workload) -> Workload:
    visual, text, generated, images = tokens
    extra = visual + text - 1 if mean.extra_head_rows else 0
    return replace(
        mean, visual_tokens=visual, text_tokens=text, generated_tokens=generated, images=images, extra_head_rows=extra,
        batch=1,
    )  # fmt: skip
