"""Rank correlation between cheap and later rungs."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

from search.analysis.rank_flips import compare, rank_flips

RNG = np.random.default_rng(1)
BEFORE = RNG.permutation(20) / 20


def measured(after: np.ndarray, costs: np.ndarray | None = None) -> list[tuple[float, float, float]]:
    return list(zip(BEFORE, after, np.full(20, 0.5) if costs is None else costs, strict=True))


def test_the_same_order_and_the_opposite() -> None:
    same, opposite = compare("a", "b", measured(BEFORE + 0.1)), compare("a", "b", measured(-BEFORE))
    assert same is not None and opposite is not None
    assert (same.tau, same.flipped, same.misleads) == (1.0, 0.0, False)
    assert (opposite.tau, opposite.flipped, opposite.misleads) == (-1.0, 1.0, True)
    assert "is misleading" in str(opposite) and "misleading" not in str(same)


def test_tau_and_flips_count_pairs() -> None:
    """At equal cost, without ties, tau is 1 minus twice the share of flipped pairs."""
    after = BEFORE + 0.3 * RNG.standard_normal(20)
    found = compare("a", "b", measured(after))
    pairs = [(i, j) for i in range(20) for j in range(i)]
    flipped = sum((BEFORE[i] - BEFORE[j]) * (after[i] - after[j]) < 0 for i, j in pairs)
    assert found is not None
    assert found.flipped == pytest.approx(flipped / len(pairs))
    assert found.tau == pytest.approx(1 - 2 * flipped / len(pairs))


def test_tau_is_that_of_scipy_where_trials_tie() -> None:
    first, second = RNG.integers(0, 6, (2, 40)) / 5
    found = compare("a", "b", list(zip(first, second, np.full(40, 0.5), strict=True)))
    assert found is not None
    assert found.tau == pytest.approx(kendalltau(first, second).statistic)


def test_pairs_of_unlike_cost_do_not_compete() -> None:
    costs = np.repeat([0.2, 0.8], 10)
    after = BEFORE + 10 * (costs > 0.5)  # flips only between the two groups
    found = compare("a", "b", measured(after, costs))
    assert found is not None
    assert found.flipped == 0.0
    assert found.tau < 1.0
    alone = compare("a", "b", measured(-BEFORE, np.linspace(0, 20, 20)))
    assert alone is not None
    assert alone.flipped is None
    assert not alone.misleads


def test_nothing_is_said_of_few_trials() -> None:
    assert compare("a", "b", measured(BEFORE)[:9]) is None
    assert rank_flips([]) == []


def record(*accuracies: float, tune: tuple[float, float] | None = None) -> Any:
    rungs = [
        SimpleNamespace(
            rung=place, accuracy=accuracy, flops_ratio=0.5, metrics={"tune_accuracy": tune if place else None}
        )
        for place, accuracy in enumerate(accuracies)
    ]
    return SimpleNamespace(on=lambda split: rungs, trial=SimpleNamespace(digest=object()))


def test_trials_count_at_the_rungs_they_finished() -> None:
    full = [record(value, value + 0.1, -value, tune=(value, value)) for value in BEFORE[:12]]
    stopped = [record(value) for value in BEFORE[12:]]
    found = {(flips.before, flips.after): flips for flips in rank_flips([*full, *stopped])}
    assert list(found) == [("rung 0", "rung 1"), ("rung 1", "rung 2"), ("rung 0", "rung 2"), ("untuned", "tuned")]
    assert {flips.trials for flips in found.values()} == {12}
    assert [flips.misleads for flips in found.values()] == [False, True, True, False]
    assert found["rung 0", "rung 2"].as_dict()["tau"] == pytest.approx(-1.0)
