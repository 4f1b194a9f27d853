"""Choosing sets of plans, plans of questions and fronts of choices, against slow references."""

from itertools import combinations

import numpy as np
import pytest

from objectives.routing import (
    PRICES,
    Policies,
    choose_plans,
    constant,
    follow,
    join,
    kind_picks,
    mixed_volume,
    picks_at,
    volume,
)

RNG = np.random.default_rng(0)


def test_the_chosen_plans_leave_little_more_to_be_won_than_the_best_set() -> None:
    for _ in range(20):
        scores, ratios = (RNG.random((40, 6)) > 0.5).astype(float), np.sort(RNG.random(6))

        def won(chosen: tuple[int, ...], scores: np.ndarray = scores, ratios: np.ndarray = ratios) -> float:
            kept = list(chosen)
            return float(np.mean([(scores[:, kept] - p * ratios[kept]).max(1).mean() for p in PRICES[16:56:4]]))

        chosen = choose_plans(scores, ratios, 3)
        every = [won(each) for each in combinations(range(6), 3)]
        least = won((int(np.argmax(ratios)),))
        assert len(set(chosen)) == 3 and chosen == sorted(chosen)
        assert won(tuple(chosen)) - least >= (1 - 1 / np.e) * (max(every) - least)


def test_plans_that_are_right_on_different_questions_are_chosen() -> None:
    """Plan 1 is the most accurate; 0 and 2 together answer everything."""
    scores = np.array([[1, 1, 0]] * 5 + [[0, 1, 1]] * 4 + [[0, 0, 1]], dtype=float)
    assert choose_plans(scores, np.array([0.1, 0.9, 0.2]), 2) == [0, 2]


def test_a_price_of_0_takes_the_likeliest_plan_and_a_high_one_the_cheapest() -> None:
    expected, ratios = np.array([[0.2, 0.9, 0.6], [0.5, 0.1, 0.7]]), np.array([0.1, 0.6, 0.3])
    assert picks_at(expected, ratios, 0.0).tolist() == [1, 2]
    assert picks_at(expected, ratios, max(PRICES)).tolist() == [0, 0]
    assert picks_at(expected, ratios, 1.1).tolist() == [2, 0]


def test_followed_picks_have_the_scores_and_costs_of_their_plans_and_of_the_decision() -> None:
    scores, costs = RNG.random((5, 3)), RNG.random((5, 3))
    policies = follow([np.array([0, 2, 1, 1, 0])], scores, costs, extra=0.25)
    assert policies.scores[0].tolist() == [scores[q, k] for q, k in enumerate([0, 2, 1, 1, 0])]
    assert policies.costs[0].tolist() == [costs[q, k] + 0.25 for q, k in enumerate([0, 2, 1, 1, 0])]


def test_the_front_has_no_dominated_policy_and_resamples_are_means_of_drawn_questions() -> None:
    fixed = constant(np.array([[0, 1.0, 1], [0, 1, 0]]), np.array([[0.1, 0.5, 0.6]] * 2))
    assert fixed.front() == [0, 1]
    assert join(fixed, fixed).front() == [0, 1], "equal policies count once"
    points = Policies(RNG.random((2, 400)), RNG.random((2, 400)))
    drawn = points.resampled_points()
    assert drawn.shape[1:] == (2, 2)
    assert drawn.mean(0) == pytest.approx(points.points, abs=2e-3)
    assert drawn[:, 1, 0].std() == pytest.approx(points.scores[1].std() / 20, rel=0.1)


def test_a_kind_takes_the_plan_that_is_best_on_its_own_questions() -> None:
    scores = np.array([[1, 0.0], [1, 0], [0, 1], [1, 1]])
    assert kind_picks(scores, np.array([0.4, 0.2]), ["a", "a", "b", "b"], 0.1) == {"a": 0, "b": 1}
    assert kind_picks(scores, np.array([0.4, 0.2]), ["a", "a", "b", "b"], 30) == {"a": 1, "b": 1}


def test_the_mixed_volume_is_that_of_all_random_mixtures() -> None:
    """The reference mixes all pairs of plans in 200 shares; no plan may be mixed below the floor."""
    for _ in range(10):
        points, floor = np.stack([RNG.random(6), RNG.random(6)], axis=1), 0.2
        kept = points[points[:, 0] > floor]
        mixed = [one + t * (two - one) for one in kept for two in kept for t in np.linspace(0, 1, 200)]
        assert mixed_volume(points, floor) == pytest.approx(volume(np.array(mixed), floor), abs=5e-3)
        assert mixed_volume(points, floor) >= volume(points, floor) - 1e-12
    assert mixed_volume(np.array([[0.1, 0.5]]), 0.2) == 0
