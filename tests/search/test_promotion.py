"""Who earns the next rung."""

import math

import pytest

from search.promotion import goes_on

UP_DOWN = (True, False)


def test_the_first_trial_goes_on() -> None:
    assert goes_on([], (0.1, 0.9), UP_DOWN, 1 / 3)


def test_a_member_of_the_first_front_always_goes_on() -> None:
    front = [(0.1 * i, 0.1 * i) for i in range(1, 9)]
    assert goes_on(front, (0.95, 0.95), UP_DOWN, 0.1)


def test_a_dominated_trial_goes_on_only_while_there_are_places() -> None:
    peers = [(0.9, 0.5), (0.8, 0.6), (0.7, 0.7)]
    assert not goes_on(peers, (0.6, 0.8), UP_DOWN, 0.5)
    assert goes_on(peers, (0.85, 0.55), UP_DOWN, 0.5)


def test_crowding_decides_within_a_front() -> None:
    better, ends = (1.0, 0.1), [(0.2, 0.15), (0.9, 0.9)]
    assert goes_on([better, *ends, (0.88, 0.88)], (0.5, 0.5), UP_DOWN, 0.7)
    assert not goes_on([better, *ends, (0.5, 0.5)], (0.88, 0.88), UP_DOWN, 0.7)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_never_goes_on(bad: float) -> None:
    assert not goes_on([(0.5, 0.5)], (bad, 0.1), UP_DOWN, 1.0)


def test_peers_that_are_no_numbers_do_not_stop_a_good_trial() -> None:
    assert goes_on([(math.nan, 0.1)], (0.5, 0.5), UP_DOWN, 0.5)
