"""Exact-match accuracy on packed samples: an answer counts when each of its tokens is the likeliest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from workers.data.sample import Sample
from workers.inference.packed_batch import PackedBatch


@torch.no_grad()
def grade(logits_of: Callable[[PackedBatch], Tensor], batches: Sequence[PackedBatch]) -> np.ndarray:
    """Whether each question is answered right: (questions,) bool, in the order of the items packed.

    `logits_of` gives (labeled positions, vocabulary). Feeding the right answer and asking whether every next
    token is the likeliest says the same as greedy decoding and comparing.
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
    """Share of right answers for each kind of question, in order of appearance."""
    kinds = np.array([sample.kind for sample in samples])
    return {kind: float(right[kinds == kind].mean()) for kind in dict.fromkeys(kinds.tolist())}
