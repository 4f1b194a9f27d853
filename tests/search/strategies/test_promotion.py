"""Which trials are promoted to the next rung."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.strategies.promotion import MIN_RISES, Peers, bar, goes_on, least_before_tuning

UP_DOWN = (True, False)


def test_the_first_trial_goes_on() -> None:
    assert goes_on([], (0.1, 0.9), UP_DOWN, 1 / 3)


def test_a_member_of_the_first_front_always_goes_on() -> None:
    front = [(0.1 * i, 0.1 * i) for i in range(1, 9)]
    assert goes_on(front, (0.95, 0.95), UP_DOWN, 0.1)


def test_trials_below_the_least_accuracy_go_on_only_where_others_leave_places() -> None:
    peers = [(0.9, 0.5), (0.3, 0.4), (0.2, 0.3), (0.8, 0.6)]
    for mine, keep, least, wanted in [
        ((0.1, 0.1), 0.5, 0.0, True),
        ((0.1, 0.1), 0.5, 0.5, False),
        ((0.4, 0.45), 0.5, 0.5, True),
        ((0.6, 0.2), 0.2, 0.5, True),
    ]:
        assert goes_on(peers, mine, UP_DOWN, keep, least) == wanted
        assert Peers(peers).goes_on(mine, keep, least) == wanted


def test_the_minimum_before_tuning_is_lower_by_what_tuning_added_at_most() -> None:
    assert least_before_tuning(0.5, [0.1] * (MIN_RISES - 1)) == 0.0, "too few to know it"
    assert least_before_tuning(0.5, [0.1, 0.3, *[0.0] * MIN_RISES]) == pytest.approx(0.2)
    assert least_before_tuning(0.5, [0.6] * MIN_RISES) == 0.0


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


POINTS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=25)


@given(POINTS, st.integers(0, 20), st.sampled_from([0.1, 1 / 3, 0.7, 1.0]))
def test_the_bar_is_where_a_trial_begins_to_go_on(points: list[tuple[int, int]], cost: int, keep: float) -> None:
    peers = [(accuracy / 20, ratio / 20) for accuracy, ratio in points]
    front = bar(np.array(peers), keep)
    cheaper = front[front[:, 1] <= cost / 20, 0]
    if len(cheaper):
        assert not goes_on(peers, (cheaper.max() - 0.01, cost / 20), UP_DOWN, keep)
    above = (cheaper.max(initial=-0.01) + 0.01, cost / 20)
    if not goes_on(peers, above, UP_DOWN, keep):  # by crowding alone: it ties with the last front that fits
        assert not any(better(peer, above) for peer in front.tolist())
        ahead = [peer for peer in peers if any(better(peer, last) for last in front.tolist())]
        assert len(ahead) < (len(peers) + 1) * keep


def better(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] >= other[0] and one[1] <= other[1] and tuple(one) != tuple(other)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=40), st.sampled_from([0.1, 1 / 3, 0.9]))
def test_peers_that_come_one_by_one_decide_as_all_of_them_at_once(grid: list[tuple[int, int]], keep: float) -> None:
    points, peers = [(accuracy / 6, cost / 6) for accuracy, cost in grid], Peers()
    for number, mine in enumerate(points):
        assert peers.goes_on(mine, keep) == goes_on(points[:number], mine, UP_DOWN, keep)
        peers.add(mine)
    assert len(peers) == len(points)
    assert not peers.goes_on((math.nan, 0.1), 1.0)
