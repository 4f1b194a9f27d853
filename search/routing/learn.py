"""Trains the router on the train split, and chooses its settings on the search split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from objectives.routing import PRICES, Floats, Policies, follow, join, mixed_volume, picks_at, volume
from search.routing.measure import Measured

if TYPE_CHECKING:
    from torch import Tensor

    from workers.routing.questions import Questions
    from workers.routing.router import Router

HIDDEN = (0, 64)
"""Widths of the hidden layer that are tried; 0 for a linear router."""
WEIGHT_DECAYS = (0.1, 1.0)
"""Weight decays that are tried."""


@dataclass(frozen=True)
class Learned:
    """A trained router and its predictions."""

    router: "Router"
    inputs: str
    """Features that it reads, one of `workers.routing.router.INPUTS`."""
    hidden: int
    weight_decay: float
    flops: float
    """FLOPs of one decision, pooling of the features included."""
    expected: Mapping[str, Floats]
    """Split -> (Q, K) expected score of each question under each plan."""
    volume: float
    """Hypervolume on the search split, together with the static front."""


def learn(
    splits: Mapping[str, Measured], static: Policies, chosen: Sequence[int], floor: float, seed: int,
    shuffled: bool = False, text_only: bool = False,
) -> Learned:  # fmt: skip
    """Return the router with the largest hypervolume on the search split.

    Args:
        splits: `train` with the K chosen plans, `search` and `test` with all plans of the front.
        static: the plans of the front on the search split.
        chosen: indices of the chosen plans in the front.
        floor: accuracy of the reference point.
        seed: seed of the training.
        shuffled: True to permute the features over the questions of a split, a control that knows nothing of them.
        text_only: True to read no images.
    """
    from workers.routing.router import INPUTS, TEXT

    ratios = splits["search"].costs[:, list(chosen)].mean(0)
    tried = []
    for inputs, hidden, decay in product((TEXT,) if text_only else INPUTS, HIDDEN, WEIGHT_DECAYS):
        features = {name: _features(each.questions, inputs, seed, shuffled) for name, each in splits.items()}
        router, expected = _train(features, splits["train"], hidden, decay, seed)
        flops = router.flops + _pooling(splits["train"].questions, inputs)
        routed = sweep(expected["search"], splits["search"], chosen, ratios, flops)
        found = volume(join(static, routed).points, floor)
        tried.append(Learned(router, inputs, hidden, decay, flops, expected, found))
    return max(tried, key=lambda each: each.volume)


def sweep(expected: Floats, split: Measured, chosen: Sequence[int], ratios: Floats, flops: float) -> Policies:
    """Return one policy per price, with the FLOPs of the router in their costs.

    Args:
        expected: (Q, K) expected scores.
        split: the questions under all plans of the front.
        chosen: indices of the K plans in the front.
        ratios: (K,) mean cost per plan, which decides.
        flops: FLOPs of one decision.
    """
    columns = list(chosen)
    picks = [picks_at(expected, ratios, price) for price in PRICES]
    return follow(picks, split.scores[:, columns], split.costs[:, columns], flops / split.dense_flops)


def knows_something(static: Policies, routed: Policies, floor: float) -> tuple[float, float]:
    """Return the 95 % interval of what routing adds to mixing plans at random, in hypervolume.

    Args:
        static: the plans of the front.
        routed: one policy per price, on the same questions.
        floor: accuracy of the reference point.
    """
    every = join(static, routed).resampled_points()
    gains = [volume(points, floor) - mixed_volume(points[: len(static)], floor) for points in every]
    low, high = np.quantile(gains, [0.025, 0.975])
    return float(low), float(high)


def _features(questions: "Questions", inputs: str, seed: int, shuffled: bool) -> "Tensor":
    import torch

    from workers.routing.router import TEXT

    columns = [questions.text] if inputs == TEXT else [questions.text, questions.image]
    table = np.concatenate(columns, axis=1)
    if shuffled:
        table = np.random.default_rng(seed).permutation(table)
    return torch.from_numpy(np.ascontiguousarray(table))


def _train(
    features: "Mapping[str, Tensor]", train: Measured, hidden: int, decay: float, seed: int
) -> "tuple[Router, dict[str, Floats]]":
    import torch

    from workers.routing.router import train_router

    scores = torch.from_numpy(train.scores).float()
    router = train_router(features["train"], scores, hidden=hidden, weight_decay=decay, seed=seed)
    expected = {name: router.expected(each).numpy().astype(np.float64) for name, each in features.items()}
    return router, expected


def _pooling(questions: "Questions", inputs: str) -> float:
    """Return the additions of pooling the features of a question, on average."""
    from workers.routing.router import TEXT

    visual, text = np.mean([each[:2] for each in questions.tokens], axis=0)
    image = 0 if inputs == TEXT else visual * questions.image.shape[1]
    return float(text * questions.text.shape[1] + image)
