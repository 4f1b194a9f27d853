"""Limits and repair against every plan of small spaces."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spaces.constraints import (
    Limit,
    UnreachableError,
    check_reachable,
    distance,
    is_feasible,
    repair,
    smallest,
)
from spaces.plan import Op, Plan
from spaces.spaces import SPACES, load_space
from tests.fast import but_slow, draws
from tests.spaces.drawn import generators, unscoped_plans

COST = {Op.KEEP: 3.0, Op.SKIP_ATTN: 2.0, Op.SKIP_FFN: 1.0, Op.SKIP_BLOCK: 0.0, Op.PARALLEL: 3.0}
small_spaces = st.builds(load_space, st.sampled_from(list(SPACES)), st.integers(1, 4)).filter(
    lambda space: space.size < 3000  # every plan is looked at
)


def cost(plan):
    return sum(COST[op] for op in plan.ops)


def weighted(weights):
    """A measure that adds up over blocks of different weight."""
    return lambda plan: sum(w * COST[op] for w, op in zip(weights, plan.ops, strict=True))


@given(unscoped_plans(), st.floats(-5, 50))
def test_violation_is_what_is_above_the_bound(plan, bound):
    limit = Limit("cost", bound, cost)
    assert limit.violation(plan) == cost(plan) - bound
    assert is_feasible(plan, [limit]) == (cost(plan) <= bound)
    assert is_feasible(plan, [])


@given(small_spaces, generators, st.floats(0, 12), st.floats(0, 5))
@settings(max_examples=draws(60))
def test_repair_keeps_all_limits_or_none_can(space, rng, bound, most_changed):
    limits = [Limit("cost", bound, cost), Limit("changed", most_changed, lambda plan: plan.num_changed)]
    feasible = [plan for plan in space.enumerate() if is_feasible(plan, limits)]
    start = space.sample(rng)
    repaired = repair(start, space, limits, rng)
    if not feasible:
        assert repaired is None
    else:
        assert repaired in feasible
    if is_feasible(start, limits):
        assert repaired == start


@given(st.sampled_from(["blocks", "layers"]), generators, st.data())
@settings(max_examples=draws(60))
def test_repair_changes_as_few_blocks_as_possible(name, rng, data):
    space = load_space(name, 4)
    measure = weighted(data.draw(st.lists(st.floats(0.5, 3), min_size=4, max_size=4)))
    limits = [Limit("cost", data.draw(st.floats(0, 20)), measure)]
    start = space.sample(rng)
    repaired = repair(start, space, limits, rng)
    assert repaired is not None
    fewest = min(distance(start, plan) for plan in space.enumerate() if is_feasible(plan, limits))
    assert distance(start, repaired) == fewest


def test_repair_takes_the_nearest_plan_where_no_single_step_helps():
    space, rng = load_space("blocks", 4), np.random.default_rng(0)
    limit = Limit("one of two", 0, lambda plan: str(plan) not in ("..bb", "bbbb"))
    assert {str(repair(Plan.dense(4), space, [limit], rng)) for _ in range(10)} == {"..bb"}
    assert str(repair(Plan.parse("b.bb"), space, [limit], rng)) == "bbbb"


def test_repair_gives_different_plans():
    space, rng = load_space("blocks", 12), np.random.default_rng(0)
    found = {repair(Plan.dense(12), space, [Limit("cost", 24, cost)], rng) for _ in range(50)}
    assert {plan.num_changed for plan in found} == {4}
    assert len(found) > 30


@pytest.mark.parametrize("name", but_slow(SPACES, ["layers", "interval"]))
def test_repair_in_a_large_space(name):
    space, rng = load_space(name, 32), np.random.default_rng(0)
    for bound in (70, 40, 10, 0):
        repaired = repair(space.sample(rng), space, [Limit("cost", bound, cost)], rng)
        assert repaired is not None
        assert repaired in space
        assert cost(repaired) <= bound
    assert repair(Plan.dense(32), space, [Limit("cost", -1, cost)], rng) is None


def test_repair_goes_up_as_well_as_down():
    """A band, such as one bin of FLOPs, is two limits; a lower bound is a limit on the negated measure."""
    space, rng = load_space("layers", 24), np.random.default_rng(0)
    band = [Limit("most", 40, cost), Limit("least", -38, lambda plan: -cost(plan))]
    for _ in range(10):
        repaired = repair(space.sample(rng), space, band, rng)
        assert repaired is not None and 38 <= cost(repaired) <= 40


@given(small_spaces, st.data())
@settings(max_examples=draws(40))
def test_smallest_is_the_smallest(space, data):
    weights = data.draw(st.lists(st.floats(0.1, 3), min_size=space.num_blocks, max_size=space.num_blocks))
    measure = weighted(weights)
    assert measure(smallest(space, measure)) == min(measure(plan) for plan in space.enumerate())


@pytest.mark.parametrize("name", SPACES)
def test_smallest_in_a_large_space(name):
    assert smallest(load_space(name, 48), cost) == Plan.parse("b" * 48)


@given(small_spaces, st.floats(-3, 13))
@settings(max_examples=draws(40))
def test_unreachable_limits_are_refused(space, bound):
    least = min(cost(plan) for plan in space.enumerate())
    assume(not math.isclose(least, bound))
    if bound > least:
        check_reachable(space, [Limit("cost", bound, cost)])
        return
    with pytest.raises(UnreachableError):
        check_reachable(space, [Limit("cost", bound, cost)])


def test_the_refusal_names_what_can_be_reached():
    space = load_space("blocks", 4, ops=["skip_attn"])
    with pytest.raises(UnreachableError) as caught:
        check_reachable(space, [Limit("max-flops", 2.5, cost)])
    assert str(caught.value) == (
        "max-flops must be reachable in space 'blocks', got 2.5: the nearest reachable is 8 (plan 'aaaa'); "
        "allow at least that, or take another space"
    )


def test_a_bound_must_be_a_number():
    with pytest.raises(ValueError, match="the bound of limit 'max-flops' must be a number, got nan"):
        Limit("max-flops", math.nan, cost)
