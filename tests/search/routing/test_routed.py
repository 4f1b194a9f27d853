"""The rules of a routed front, on made-up questions: when the router is used, and what is compared with what."""

from dataclasses import replace

import numpy as np
import pytest

from objectives.routing import PRICES, choose_plans, constant, kind_picks, volume
from search.routing.candidates import Candidate, Candidates
from search.routing.learn import learn
from search.routing.measure import Measured
from search.routing.result import describe
from search.routing.route import Routed
from spaces.plan import Plan
from workers.requests import TrialRequest
from workers.routing.questions import Questions

COSTS = np.array([0.2, 0.5, 0.8])
RIGHT = {"easy": (0.95, 0.95, 0.95), "medium": (0.1, 0.95, 0.95), "hard": (0.05, 0.1, 0.95)}
"""Kind -> probability that plan 0, 1 and 2 is right."""


def made(questions: int, seed: int) -> Measured:
    """Questions whose text says their kind."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(list(RIGHT), questions).tolist()
    text = np.array([[kind == name for name in RIGHT] for kind in kinds], dtype=np.float32)
    text += rng.normal(0, 0.1, text.shape).astype(np.float32)
    scores = (rng.random((questions, 3)) < np.array([RIGHT[kind] for kind in kinds])).astype(float)
    known = Questions(text, np.zeros((questions, 0), np.float32), ((0, 8, 2, 1),) * questions, tuple(kinds))
    return Measured(known, scores, np.tile(COSTS, (questions, 1)), np.full(questions, 1e6))


def routed(shuffled: bool = False) -> Routed:
    splits = {"train": made(600, 1), "search": made(600, 2), "test": made(800, 3)}
    search = splits["search"]
    plans = [
        Candidate(number, TrialRequest(plan=Plan.parse(text)), tuple(search.scores[:, number]), None)
        for number, text in enumerate(("bb.", "b..", "a.."))
    ]
    dense = Candidate(9, TrialRequest(plan=Plan.dense(3)), (1.0,) * 600, None)
    chosen = choose_plans(search.scores, COSTS, 3)
    learned = learn(splits, constant(search.scores, search.costs), chosen, 0.1, 0, shuffled)
    kinds = tuple(kind_picks(search.scores, COSTS, search.questions.kinds, price) for price in PRICES)
    return Routed(Candidates(tuple(plans), dense, 0.1), tuple(chosen), splits, (1.0,) * 800, learned, kinds, 0)


@pytest.fixture(scope="module")
def known() -> Routed:
    return routed()


def test_a_router_that_sees_the_kind_wins_what_a_plan_per_kind_wins(known: Routed) -> None:
    found = describe(known, "made up")
    volumes = found["hypervolume"]
    assert found["router"]["used"]
    assert volumes["adaptive_gain_interval"][0] > 0.05
    assert volumes["adaptive_gain"] > volumes["per_kind_gain"] - 0.01
    level = found["levels"][-1]
    assert level["adaptive"]["saved"] == pytest.approx(1 - np.mean([0.2, 0.5, 0.8]) / 0.8, abs=0.03)
    assert level["per_kind"]["plans"] == {"easy": 0, "medium": 1, "hard": 2}
    assert all(level["adaptive"]["plans"][kind][plan] > 0.95 for kind, plan in level["per_kind"]["plans"].items())


def test_shuffled_features_give_the_static_front() -> None:
    blind = routed(shuffled=True)
    found = describe(blind, "shuffled")
    assert not found["router"]["used"]
    assert found["hypervolume"]["adaptive"] == found["hypervolume"]["static"]
    assert all("trial" in point for point in found["adaptive"])
    assert all(level["adaptive"]["saved"] == 0 for level in found["levels"])


def test_the_adaptive_front_is_never_below_the_static_one_where_it_was_chosen(known: Routed) -> None:
    both = {name: of("search").points for name, of in {"s": known.static, "a": known.adaptive}.items()}
    assert volume(both["a"], 0.1) >= volume(both["s"], 0.1)
    for accuracy, cost in both["s"]:
        assert ((both["a"][:, 0] >= accuracy) & (both["a"][:, 1] <= cost)).any()


def test_every_question_pays_for_the_router_and_constant_choices_do_not(known: Routed) -> None:
    assert known.learned is not None
    expensive = replace(known, learned=replace(known.learned, flops=1e5))
    more = (1e5 - known.learned.flops) / 1e6
    np.testing.assert_allclose(expensive.routed("test").costs, known.routed("test").costs + more)
    np.testing.assert_allclose(expensive.static("test").costs, known.static("test").costs)
