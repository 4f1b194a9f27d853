"""Where the surrogate may propose after it has not gained for a while."""

from itertools import pairwise

import numpy as np

from search.strategies import load_strategy
from search.strategies.guided.trust_region import FROM, LARGEST, SMALLEST, STEP, radius, within
from search.strategies.strategy import Observation
from spaces.plan import Plan
from tests.search.strategies.landscape import task


def test_it_shrinks_with_every_few_proposals_without_a_gain() -> None:
    assert radius(FROM - 1) is None
    radii = [radius(gainless) for gainless in range(FROM, FROM + 40)]
    assert radii[0] == LARGEST and radii[-1] == SMALLEST
    assert all(before - after in (0, 1) for before, after in pairwise(radii))  # type: ignore[operator]
    assert radii.count(LARGEST) == STEP


def test_plans_of_the_region_differ_from_the_nearest_center_in_few_blocks() -> None:
    rng = np.random.default_rng(0)
    pool, centers = rng.integers(0, 3, size=(200, 8)), rng.integers(0, 3, size=(5, 8))
    near = within(pool, centers, 3)
    expected = [
        plan for plan in pool.tolist() if min(sum(a != b for a, b in zip(plan, c, strict=True)) for c in centers) <= 3
    ]
    assert 0 < len(near) < 200 and near.tolist() == expected
    assert len(within(pool, centers, None)) == len(within(pool, centers[:0], 1)) == 200


def test_a_search_that_gains_nothing_stays_near_its_front() -> None:
    """The first plans are good, all later ones useless: what the surrogate proposes is then near the good ones."""
    wanted = task("layers", budget=60)
    strategy, rng, trials = load_strategy("guided", wanted), np.random.default_rng(0), []
    for number in range(30):
        proposal = strategy.ask(trials, rng)
        accuracy = 1.0 if proposal.plan.is_dense else 0.8 if number < 8 else 0.0
        cost = wanted.flops_ratio(proposal.plan)
        trials.append(Observation(number, proposal.plan, proposal.origin, "complete", cost, (accuracy,), True))
    good = [trial.plan for trial in trials[:8]]
    late = [trial.plan for trial in trials[22:] if trial.origin.startswith("expected to add")]
    assert late and max(min(changes(plan, other) for other in good) for plan in late) <= 2


def changes(plan: Plan, other: Plan) -> int:
    """Return the number of blocks in which two plans differ."""
    return sum(mine != theirs for mine, theirs in zip(plan.blocks, other.blocks, strict=True))
