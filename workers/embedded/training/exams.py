"""Exact-match accuracy on packed samples: an answer is right if each of its tokens is the most likely one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from workers.data.sample import Sample
from workers.inference.packed_batch import PackedBatch


@torch.no_grad()
def grade(logits_of: Callable[[PackedBatch], Tensor], batches: Sequence[PackedBatch]) -> np.ndarray:
    """Return, per question, True if it is answered right: (questions,) bool, in the order of packing.

    With the right answer as input, testing that every next token is the most likely one is equivalent to greedy
    decoding and comparing.

    Args:
        logits_of: returns (labeled positions, vocabulary) logits of a batch.
        batches: the packed questions.
    """
    right = np.ones(sum(int((batch.owner >= 0).sum()) for batch in batches), dtype=bool)
    for batch in batches:
        labeled = batch.labels >= 0
        hit = logits_of(batch).argmax(-1) == batch.labels[labeled]
        row = labeled.nonzero()[:, 0]
        owner = batch.owner[row, batch.segment[labeled] - 1]
        right[owner[~hit].numpy()] = False
    return right


def accuracy_by_kind(samples: Sequence[Sample], right: np.ndarray) -> dict[str, float]:
    """Return kind of question -> share of right answers, in order of appearance."""
    kinds = np.array([sample.kind for sample in samples])
    return {kind: float(right[kinds == kind].mean()) for kind in dict.fromkeys(kinds.tolist())}
