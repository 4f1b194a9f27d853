"""Hypervolume against inclusion-exclusion, counted unit cells and Monte Carlo."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.dominance import non_dominated
from objectives.hypervolume import hypervolume
from tests.fast import draws

coordinates = st.integers(-2, 6)


def tables(num_objectives, max_size):
    return st.lists(st.tuples(*[coordinates] * num_objectives), max_size=max_size)


def inclusion_exclusion(points, reference):
    """The union of the boxes between the reference and each point, all objectives maximized."""
    boxes = [[p - r for p, r in zip(point, reference, strict=True)] for point in points]
    boxes = [box for box in boxes if min(box) > 0]
    total = 0.0
    for size in range(1, len(boxes) + 1):
        for chosen in itertools.combinations(boxes, size):
            total += (-1) ** (size + 1) * math.prod(min(column) for column in zip(*chosen, strict=True))
    return total


def unit_cells(points, reference, top):
    """The number of unit cells between an integer reference and `top` that some point dominates."""
    ranges = [range(r, top) for r in reference]
    return sum(
        any(all(p > c for p, c in zip(point, cell, strict=True)) for point in points)
        for cell in itertools.product(*ranges)
    )


@given(st.integers(1, 3).flatmap(lambda m: st.tuples(tables(m, 7), st.tuples(*[st.integers(-2, 2)] * m))))
def test_equals_inclusion_exclusion(drawn):
    points, reference = drawn
    maximize = [True] * len(reference)
    assert hypervolume(points, reference, maximize) == pytest.approx(inclusion_exclusion(points, reference))


@given(st.integers(1, 3).flatmap(lambda m: st.tuples(tables(m, 30), st.tuples(*[st.integers(-2, 2)] * m))))
@settings(max_examples=draws(50))
def test_equals_counted_cells(drawn):
    points, reference = drawn
    assert hypervolume(points, reference, [True] * len(reference)) == unit_cells(points, reference, 7)


@given(tables(3, 12), st.lists(st.booleans(), min_size=3, max_size=3))
def test_directions_are_mirror_images(points, maximize):
    mirrored = [[p if up else -p for p, up in zip(point, maximize, strict=True)] for point in points]
    reference = [-2 if up else 2 for up in maximize]
    assert hypervolume(mirrored, reference, maximize) == hypervolume(points, [-2, -2, -2], [True] * 3)


@pytest.mark.parametrize("num_objectives", [2, 3])
def test_close_to_monte_carlo(num_objectives):
    rng = np.random.default_rng(0)
    points = rng.random((40, num_objectives))
    drawn = rng.random((100_000, num_objectives))
    share = (drawn[:, None, :] < points[None]).all(axis=2).any(axis=1).mean()
    assert hypervolume(points, [0.0] * num_objectives, [True] * num_objectives) == pytest.approx(share, abs=0.006)


@given(tables(2, 15), st.tuples(coordinates, coordinates))
def test_a_point_never_lessens_it(points, point):
    before = hypervolume(points, [-2, -2], [True, True])
    after = hypervolume([*points, point], [-2, -2], [True, True])
    assert after >= before
    on_the_front = non_dominated([*points, point], [True, True])[-1] and point not in points
    assert (after > before) == bool(on_the_front and min(point) > -2)


def test_by_hand():
    # accuracy up, share of FLOPs down, reference (0, 1): 0.9*0.2 for the first, 0.5*0.4 more for the second
    assert hypervolume([[0.9, 0.8], [0.5, 0.4]], [0, 1], [True, False]) == pytest.approx(0.9 * 0.2 + 0.5 * 0.4)


def test_rows_that_are_not_finite_and_points_behind_the_reference_add_nothing():
    rows = [
        [0.5, 0.5],
        [math.nan, 0.1],
        [math.inf, 0.1],
        [0.9, -math.inf],
        [-0.1, 0.1],
        [0.9, 1.0],
        [0.9, 1.2],
    ]
    assert hypervolume(rows, [0, 1], [True, False]) == 0.25


def test_nothing():
    assert hypervolume([], [0, 1], [True, False]) == 0.0
    assert hypervolume([[math.nan, 1.0]], [0, 1], [True, False]) == 0.0


@pytest.mark.parametrize(
    ("reference", "maximize", "message"),
    [
        ([0] * 4, [True] * 4, "hypervolume needs 1 to 3 objectives, got 4: leave some out"),
        ([], [], "hypervolume needs 1 to 3 objectives, got 0: leave some out"),
        (
            [0, 1, 2],
            [True, True],
            r"the reference must have 2 finite numbers, got \[0, 1, 2\]: give a point worse",
        ),
        (
            [0, math.inf],
            [True, True],
            r"the reference must have 2 finite numbers, got \[0, inf\]: give a point worse",
        ),
        ([0, 0], [True, True], r"points must have shape \(N, 2\), one column per objective, got \(1, 3\)"),
    ],
)
def test_wrong_use_is_refused(reference, maximize, message):
    with pytest.raises(ValueError, match=message):
        hypervolume([[1.0, 1.0, 1.0]], reference, maximize)
