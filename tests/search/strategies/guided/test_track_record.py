"""The correction of expected gains by what similar proposals added."""

import numpy as np
import pytest

from search.strategies.guided.track_record import MAX_RATIO, PRIOR_TRIALS, TrackRecord
from search.strategies.strategy import Focus, Observation
from spaces.plan import Plan

COSTS = np.array([0.3, 0.7, 0.99])


def record_of(*trials: tuple[float, float, str]) -> TrackRecord:
    """Return the record of full trials given as (accuracy, FLOPs ratio, origin)."""
    plan = Plan.parse("...")
    return TrackRecord(
        [
            Observation(number, plan, origin, "complete", cost, (accuracy,), True)
            for number, (accuracy, cost, origin) in enumerate(trials)
        ],
        Focus(),
    )


def test_without_proposals_gains_count_as_expected() -> None:
    assert record_of((0.9, 0.99, "baseline dense")).factor(COSTS).tolist() == [1.0, 1.0, 1.0]


def test_proposals_that_added_nothing_lower_what_is_expected_of_plans_of_their_cost() -> None:
    first = (0.9, 0.2, "baseline")
    cheap, other, _ = record_of(first, *[(0.1, 0.3, "expected to add 0.10000")] * 20).factor(COSTS)
    assert cheap < 0.2
    assert other == pytest.approx(1.0, abs=1e-3)


def test_a_proposal_that_added_what_was_expected_changes_nothing() -> None:
    factor = record_of((0.5, 0.7, "expected to add 0.15000")).factor(COSTS)  # 0.5 * (1 - 0.7)
    assert factor == pytest.approx([1.0, 1.0, 1.0])


def test_one_surprise_counts_within_bounds() -> None:
    _, near, _ = record_of((0.5, 0.7, "expected to add 0.00001")).factor(COSTS)
    assert near == pytest.approx((PRIOR_TRIALS + MAX_RATIO) / (PRIOR_TRIALS + 1))


def test_trials_that_the_surrogate_did_not_propose_do_not_count() -> None:
    origins = "evolution: mutation of 1", "goes on with 3, expected to add 0.1", "expected to add 0.10000, repaired"
    others = [(0.1, 0.3, origin) for origin in origins]
    assert record_of((0.9, 0.2, "baseline"), *others).factor(COSTS).tolist() == [1.0, 1.0, 1.0]


def test_with_several_rungs_nothing_is_corrected() -> None:
    dense = Observation(0, Plan.parse("..."), "baseline dense", "complete", 1.0, (0.9, 0.9), True)
    stopped = [
        Observation(n, Plan.parse(".b."), "expected to add 0.10000", "stopped", 0.3, (0.1,)) for n in range(1, 9)
    ]
    assert TrackRecord([dense, *stopped], Focus()).factor(COSTS).tolist() == [1.0, 1.0, 1.0]
