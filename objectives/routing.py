"""Choices of a plan per question: a small set of plans, the plan of a question at a price, and fronts of such choices.

Legend: Q: questions; K: plans; P: policies. A policy assigns a plan to every question. Costs are FLOPs ratios: FLOPs of
a question divided by the mean FLOPs of the dense plan over the same questions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from objectives.dominance import non_dominated
from objectives.hypervolume import hypervolume
from objectives.intervals import resampled_means
from objectives.objectives import MAXIMIZE

Floats = NDArray[np.float64]
Picks = NDArray[np.intp]
PRICES = (0.0, *np.geomspace(1e-3, 30.0, 63).tolist())
"""Prices of the sweep, in accuracy per FLOPs ratio; from the plan that is likeliest right to the cheapest plan."""


@dataclass(frozen=True)
class Policies:
    """Scores and costs of P policies on the same Q questions."""

    scores: Floats
    """(P, Q)."""
    costs: Floats
    """(P, Q)."""

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def points(self) -> Floats:
        """Return (accuracy, mean cost) per policy, (P, 2)."""
        return np.stack([self.scores.mean(1), self.costs.mean(1)], axis=1)

    def resampled_points(self, seed: int = 0) -> Floats:
        """Return `points` for each bootstrap resample of the questions, (resamples, P, 2)."""
        values = np.concatenate([self.scores, self.costs]).T
        return resampled_means(values, seed).reshape(-1, 2, len(self)).transpose(0, 2, 1)

    def take(self, chosen: Sequence[int]) -> "Policies":
        """Return some of the policies."""
        return Policies(self.scores[list(chosen)], self.costs[list(chosen)])

    def front(self) -> list[int]:
        """Return the indices of the policies that no other one dominates, cheapest first; one of equal ones."""
        points = self.points
        kept = np.flatnonzero(non_dominated(points, MAXIMIZE))
        distinct = {tuple(points[index]): int(index) for index in kept[::-1]}
        return sorted(distinct.values(), key=lambda index: points[index, 1])


def join(*parts: Policies) -> Policies:
    """Return the policies of all parts, in order."""
    return Policies(np.concatenate([each.scores for each in parts]), np.concatenate([each.costs for each in parts]))


def constant(scores: Floats, costs: Floats) -> Policies:
    """Return the K policies that give every question the same plan.

    Args:
        scores: (Q, K) score of each question under each plan.
        costs: (Q, K) cost of each question under each plan.
    """
    return Policies(scores.T.copy(), costs.T.copy())


def choose_plans(scores: Floats, ratios: Floats, number: int) -> list[int]:
    """Return the indices of the plans that together leave least to be won, in their order.

    The value of a set is the mean, over questions and prices, of the largest score minus the price of its plans. It is
    submodular, so that the greedy choice reaches at least 1 - 1/e of the best value (Nemhauser et al. 1978).

    Args:
        scores: (Q, K) score of each question under each plan.
        ratios: (K,) cost per plan.
        number: size of the set.
    """
    # (Q, prices, K); prices at which the choice between plans of the front is open.
    values = np.stack([scores - price * ratios for price in PRICES[16:56:4]], axis=1)
    best = np.full(values.shape[:2], values.min())
    chosen: list[int] = []
    while len(chosen) < min(number, len(ratios)):
        gains = [-1.0 if k in chosen else float(np.maximum(best, values[..., k]).mean()) for k in range(len(ratios))]
        left = [k for k in range(len(ratios)) if k not in chosen]
        best_plan = max(left, key=lambda k: gains[k])
        chosen.append(best_plan)
        best = np.maximum(best, values[..., best_plan])
    return sorted(chosen)


def picks_at(expected: Floats, ratios: Floats, price: float) -> Picks:
    """Return the plan of each question with the largest expected score minus its price, (Q,).

    Args:
        expected: (Q, K) expected score of each question under each plan.
        ratios: (K,) cost per plan.
        price: accuracy per FLOPs ratio.
    """
    return np.asarray(np.argmax(expected - price * ratios, axis=1))


def follow(picks: Sequence[Picks], scores: Floats, costs: Floats, extra: float = 0.0) -> Policies:
    """Return the policies that give each question its picked plan.

    Args:
        picks: per policy, (Q,) indices of plans.
        scores: (Q, K) score of each question under each plan.
        costs: (Q, K) cost of each question under each plan.
        extra: cost of the decision, added to every question.
    """
    rows = np.arange(len(scores))
    return Policies(np.stack([scores[rows, p] for p in picks]), np.stack([costs[rows, p] for p in picks]) + extra)


def kind_picks(scores: Floats, ratios: Floats, kinds: Sequence[str], price: float) -> dict[str, int]:
    """Return kind -> the plan with the largest mean score minus its price on the questions of the kind.

    Args:
        scores: (Q, K) score of each question under each plan.
        ratios: (K,) cost per plan.
        kinds: kind of each question.
        price: accuracy per FLOPs ratio.
    """
    names = np.asarray(kinds)
    return {
        str(kind): int(np.argmax(scores[names == kind].mean(0) - price * ratios)) for kind in np.unique(names).tolist()
    }


def volume(points: Floats, floor: float) -> float:
    """Return the hypervolume of (accuracy, cost) points above the floor and below the cost of the dense plan."""
    return hypervolume(points, (floor, 1.0), MAXIMIZE)


def mixed_volume(points: Floats, floor: float) -> float:
    """Return the hypervolume that mixing plans at random reaches: that below the concave hull of the points.

    A policy that gives a random share of the questions one plan and the rest another lies between their points, so that
    this is what can be reached without knowing anything about a question.

    Args:
        points: (K, 2) accuracy and cost per plan.
        floor: accuracy of the reference point.
    """
    kept = points[(points[:, 0] > floor) & (points[:, 1] < 1)]
    hull: list[tuple[float, float]] = []
    for accuracy, cost in sorted(map(tuple, kept[non_dominated(kept, MAXIMIZE)]), key=lambda point: point[1]):
        while len(hull) > 1 and _below(hull[-2], hull[-1], (accuracy, cost)):
            hull.pop()
        hull.append((accuracy, cost))
    if not hull:
        return 0.0
    accuracies, costs = np.array([*hull, (hull[-1][0], 1.0)]).T
    return float(np.trapezoid(accuracies - floor, costs))


def _below(left: tuple[float, float], middle: tuple[float, float], right: tuple[float, float]) -> bool:
    """Return True if the middle point is on or below the line from the left to the right one."""
    share = (middle[1] - left[1]) / (right[1] - left[1]) if right[1] > left[1] else 1.0
    return middle[0] <= left[0] + share * (right[0] - left[0])
