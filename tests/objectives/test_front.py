"""The front within limits, against its definition."""

import numpy as np
import pytest

from objectives.front import FrontLimits, Point, front, within

TRIALS = {"dense": (0.99, 1.0), "light": (0.97, 0.9), "half": (0.90, 0.65), "blind": (0.20, 0.1)}


def names(limits: FrontLimits) -> list[str]:
    return front(TRIALS, TRIALS.__getitem__, limits)


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        (FrontLimits(), ["blind", "half", "light", "dense"]),
        (FrontLimits(max_flops=0.7, min_accuracy=0.5), ["half"]),
        (FrontLimits(max_flops=0.65), ["blind", "half"]),
        (FrontLimits(max_flops=0.64, min_accuracy=0.3), []),
        (FrontLimits(min_accuracy=0.97), ["light", "dense"]),
        (FrontLimits(floor=0.19), ["blind", "half", "light", "dense"]),
        (FrontLimits(floor=0.20), ["half", "light", "dense"]),
        (FrontLimits(floor=0.20, min_accuracy=0.95), ["light", "dense"]),
        (FrontLimits(floor=0.99), []),
    ],
)
def test_bounds_are_kept_where_equal_and_the_floor_only_above(limits: FrontLimits, wanted: list[str]) -> None:
    assert names(limits) == wanted


def test_what_is_beyond_the_limits_dominates_nothing() -> None:
    trials: list[Point] = [(0.9, 0.8), (0.8, 0.9), (0.95, 0.75)]
    assert front(trials, lambda trial: trial, FrontLimits()) == [(0.95, 0.75)]
    assert within(trials, lambda trial: trial, FrontLimits(min_accuracy=0.85)) == [(0.9, 0.8), (0.95, 0.75)]
    cheap_but_poor: list[Point] = [(0.3, 0.1), (0.2, 0.5)]
    assert front(cheap_but_poor, lambda trial: trial, FrontLimits(min_accuracy=0.25)) == [(0.3, 0.1)]


def test_random_points_against_the_definition() -> None:
    rng = np.random.default_rng(3)
    for _ in range(40):
        trials = [(float(a), float(c)) for a, c in rng.integers(0, 8, (30, 2)) / 8]
        most, least, floor = (float(value) for value in rng.integers(0, 8, 3) / 8)
        kept = [(a, c) for a, c in trials if c <= most and a >= least and a > floor]
        wanted = [(a, c) for a, c in kept if not any(x >= a and y <= c and (x, y) != (a, c) for x, y in kept)]
        found = front(trials, lambda trial: trial, FrontLimits(most, least, floor))
        assert sorted(found) == sorted(wanted)
        assert [cost for _, cost in found] == sorted(cost for _, cost in wanted)


def test_an_accuracy_at_the_floor_is_short_of_it() -> None:
    limits = FrontLimits(floor=0.25)
    assert limits.shortfall(0.25)["--min-accuracy"] > 0 >= limits.shortfall(0.26)["--min-accuracy"]
    assert FrontLimits(min_accuracy=0.5).shortfall(0.4) == {"--min-accuracy": pytest.approx(0.1)}
    assert FrontLimits(max_flops=0.5).shortfall(0.0) == {}
