"""Cascades against a loop over questions, and beside the other fronts."""

from dataclasses import replace

import numpy as np
import pytest

from search.routing.cascade import Cascade, SecondAnswers, cascades_of, run_cascades, run_routed_cascades
from search.routing.result import describe
from tests.search.routing.test_routed import COSTS, made, routed

RNG = np.random.default_rng(4)


def again(margins: np.ndarray, saved: float = 0.05) -> SecondAnswers:
    """Every second answer saves the same."""
    return SecondAnswers(margins, np.full((*margins.shape, 3), saved))


def test_questions_below_the_threshold_are_answered_again_and_paid_for_twice() -> None:
    split, margins = made(50, 7), RNG.normal(size=(50, 3))
    cascades = [Cascade(0, 2, 0.3), Cascade(1, 2, -9.0)]
    found = run_cascades(cascades, split, (0, 1, 2), again(margins))
    for question in range(50):
        goes_on = margins[question, 0] < 0.3
        assert found.scores[0, question] == split.scores[question, 2 if goes_on else 0]
        assert found.costs[0, question] == pytest.approx(COSTS[0] + (COSTS[2] - 0.05 if goes_on else 0))
    assert found.scores[1].tolist() == split.scores[:, 1].tolist(), "no margin is that small"
    assert found.costs[1].tolist() == split.costs[:, 1].tolist()


def test_behind_a_router_only_cheaper_first_plans_are_answered_again_and_the_router_is_paid() -> None:
    split, margins = made(60, 8), RNG.normal(size=(60, 3))
    pick = RNG.integers(0, 3, 60)
    saved = RNG.random((60, 3, 3)) / 10
    found = run_routed_cascades(
        [pick], [Cascade(0, 1, 0.2)], split, (0, 1, 2), SecondAnswers(margins, saved), extra=0.01
    )
    for question, first in enumerate(pick):
        goes_on = first == 0 and margins[question, 0] < 0.2
        assert found.scores[0, question] == split.scores[question, 1 if goes_on else first]
        second = COSTS[1] - saved[question, 0, 1] if goes_on else 0
        assert found.costs[0, question] == pytest.approx(COSTS[first] + second + 0.01)


def test_all_pairs_go_from_cheap_to_expensive_with_thresholds_of_their_own_margins() -> None:
    margins = np.stack([np.arange(100.0), np.arange(100.0) + 1000], axis=1)
    found = cascades_of(np.concatenate([margins, margins[:, :1]], axis=1))
    assert {(each.first, each.second) for each in found} == {(0, 1), (0, 2), (1, 2)}
    assert all(0 < each.threshold < 99 for each in found if each.first == 0)
    assert all(1000 < each.threshold < 1099 for each in found if each.first == 1)


@pytest.mark.slow
def test_margins_that_know_what_is_right_win_and_random_ones_stay_on_the_static_front_or_above() -> None:
    plain = routed()
    knowing = {name: plain.splits[name].scores + RNG.normal(0, 0.2, plain.splits[name].scores.shape) for name in
               ("search", "test")}  # fmt: skip
    found = describe(replace(plain, again={name: again(each) for name, each in knowing.items()}), "made up")
    assert found["hypervolume"]["cascade_gain_interval"][0] > 0.03
    assert {"static", "adaptive", "per_kind", "cascade", "routed_cascade"} <= set(found["levels"][0])
    assert found["hypervolume"]["routed_cascade"] > found["hypervolume"]["adaptive"]
    assert "cascade" not in describe(plain, "made up")["hypervolume"]
    blind = {name: RNG.normal(size=each.shape) for name, each in knowing.items()}
    blinded = replace(plain, again={name: again(each) for name, each in blind.items()})
    volumes = describe(blinded, "made up")["hypervolume"]
    assert volumes["cascade"] >= volumes["static"] - 0.005
