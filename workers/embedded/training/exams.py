"""Computes the exact-match accuracy on packed samples; an answer is right if all its tokens are the likeliest ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from workers.data.sample import Sample
from workers.inference.packed_batch import PackedBatch


@torch.no_grad()
def grade(logits_of: Callable[[PackedBatch], Tensor], batches: Sequence[PackedBatch]) -> np.ndarray:
    """Return a (questions,) bool array, True for questions that are answered right, in the order of packing.

    The right answer is fed. That each of its tokens is the likeliest one is equivalent to greedy decoding giving it.

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
    """Return the fraction of right answers by kind of question, in order of appearance.

    Args:
        samples: the questions.
        right: (questions,) bool, as returned by `grade`.
    """
    kinds = np.array([sample.kind for sample in samples])
    return {kind: float(right[kinds == kind].mean()) for kind in dict.fromkeys(kinds.tolist())}
