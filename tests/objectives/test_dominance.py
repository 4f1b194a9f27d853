"""Dominance, ranks and crowding against definitions written out pair by pair."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.dominance import crowding, non_dominated, sort_fronts

# Few distinct values, so that ties, duplicates and non-finite rows are common.
values = st.sampled_from([-1.0, 0.0, 0.5, 2.0, 3.0, math.nan, math.inf, -math.inf])


@st.composite
def tables(draw):
    maximize = draw(st.lists(st.booleans(), min_size=1, max_size=4))
    rows = draw(st.lists(st.lists(values, min_size=len(maximize), max_size=len(maximize)), max_size=25))
    return rows, maximize


def dominates(a, b, maximize):
    better = [x > y if up else x < y for x, y, up in zip(a, b, maximize, strict=True)]
    worse = [x < y if up else x > y for x, y, up in zip(a, b, maximize, strict=True)]
    return any(better) and not any(worse)


def finite(row):
    return all(math.isfinite(value) for value in row)


def brute_force_front(rows, maximize):
    usable = [row for row in rows if finite(row)]
    return [finite(row) and not any(dominates(other, row, maximize) for other in usable) for row in rows]


def brute_force_ranks(rows, maximize):
    ranks, left, rank = {}, {i for i, row in enumerate(rows) if finite(row)}, 0
    while left:
        front = {i for i in left if not any(dominates(rows[j], rows[i], maximize) for j in left)}
        ranks |= dict.fromkeys(front, rank)
        left, rank = left - front, rank + 1
    return [ranks.get(i, rank) for i in range(len(rows))]


@given(tables())
def test_front_equals_brute_force(table):
    rows, maximize = table
    assert non_dominated(rows, maximize).tolist() == brute_force_front(rows, maximize)


@given(tables())
def test_ranks_equal_brute_force(table):
    rows, maximize = table
    assert sort_fronts(rows, maximize).tolist() == brute_force_ranks(rows, maximize)


@given(tables(), st.randoms())
def test_order_of_the_rows_does_not_matter(table, random):
    rows, maximize = table
    order = random.sample(range(len(rows)), len(rows))
    shuffled = non_dominated([rows[i] for i in order], maximize)
    assert shuffled.tolist() == [bool(non_dominated(rows, maximize)[i]) for i in order]


def test_duplicates_are_all_kept():
    assert non_dominated([[1, 2], [1, 2], [0, 3], [2, 1]], [True, False]).tolist() == [
        False,
        False,
        False,
        True,
    ]
    assert non_dominated([[1, 2], [1, 2], [0, 3]], [True, False]).tolist() == [True, True, False]


def test_rows_that_are_not_finite_dominate_nothing():
    rows = [[math.inf, 0], [math.nan, 0], [0.5, 1], [0.4, -math.inf]]
    assert non_dominated(rows, [True, False]).tolist() == [False, False, True, False]
    assert sort_fronts(rows, [True, False]).tolist() == [1, 1, 0, 1]


def test_nothing():
    assert non_dominated([], [True, False]).tolist() == []
    assert non_dominated(np.empty((0, 2)), [True, False]).dtype == bool
    assert sort_fronts([], [True]).tolist() == []
    assert crowding(np.empty((0, 2))).tolist() == []


def test_many_points():
    rng = np.random.default_rng(0)
    points = rng.random((2000, 2)).round(2)
    assert non_dominated(points, [True, False]).tolist() == brute_force_front(points.tolist(), [True, False])


@pytest.mark.parametrize("points", [[[1.0, 2.0, 3.0]], [1.0, 2.0], [[[1.0, 2.0]]]])
def test_wrong_shape_is_refused(points):
    with pytest.raises(ValueError, match=r"points must have shape \(N, 2\), one column per objective, got \("):
        non_dominated(points, [True, False])


def test_crowding_by_hand():
    # ranges 10 and 4; the neighbors of the second point are 0 and 6, 1 and 4, of the third 2 and 10, 0 and 3
    points = [[0, 4], [2, 3], [6, 1], [10, 0]]
    assert crowding(points).tolist() == [math.inf, 6 / 10 + 3 / 4, 8 / 10 + 3 / 4, math.inf]


def test_crowding_ignores_constant_objectives_and_rows_that_are_not_finite():
    points = [[0, 7], [math.nan, 7], [4, 7], [10, 7]]
    assert crowding(points).tolist() == [math.inf, 0, 1, math.inf]
    assert crowding([[1, 1], [1, 1]]).tolist() == [0, 0]


@given(st.lists(st.tuples(*[st.integers(-5, 5)] * 2), min_size=1, max_size=12, unique=True), st.randoms())
def test_crowding_does_not_depend_on_scale_or_direction(points, random):
    """Distinct values per column, else ties may be ordered in several ways."""
    columns = [random.sample(range(20), len(points)) for _ in range(2)]
    table = np.array(columns, dtype=float).T
    assert crowding(table) == pytest.approx(crowding(-3 * table + 5))
