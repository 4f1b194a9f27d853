"""Plans of finding 2: as many blocks skipped by every rule, and the searched plan is the best at those FLOPs."""

import numpy as np
import pytest

from benchmarks.paper.equal_flops import INTERVALS, NUM_BLOCKS, best_below, plans
from benchmarks.paper.page import kept

COST = 0.03
"""Share of the FLOPs of one block."""


def table(*texts: str, scores: list[float]) -> dict[str, np.ndarray]:
    costs = np.array([1 - COST * text.count("b") for text in texts])
    return {
        "plans": np.array(texts), "costs": costs, "scores": np.array(scores), "margins": np.array(scores)[:, None],
    }  # fmt: skip


def skipping(number: int, first: int = 3) -> str:
    return "".join("b" if first <= block < first + number else "." for block in range(NUM_BLOCKS))


def test_every_rule_skips_as_many_blocks() -> None:
    found = dict(plans(table(skipping(1), *map(skipping, INTERVALS), scores=[0.9, 0.8, 0.7, 0.6, 0.5])))
    assert found.pop("dense").is_dense
    for skipped, name in INTERVALS.items():
        for each in (name, f"first-{NUM_BLOCKS - skipped}", f"searched-{skipped}"):
            assert str(found[each]).count("b") == skipped, each


def test_the_best_plan_that_is_cheap_enough_is_taken() -> None:
    own = table(skipping(1), skipping(4), skipping(4, 9), skipping(5), scores=[0.9, 0.5, 0.7, 0.6])
    assert str(best_below(own, 1 - 4 * COST)) == skipping(4, 9)
    assert str(best_below(own, 1 - 5 * COST)) == skipping(5)
    with pytest.raises(ValueError, match="one_shot"):
        best_below(own, 1 - 6 * COST)


def test_fewest_flops_that_keep_a_share_of_dense() -> None:
    ways = {
        "dense": (1.0, "1111"),
        "interval-2": (0.5, "1000"),
        "interval-4": (0.8, "1110"),
        "searched-4": (0.7, "1111"),
    }
    runs = [{"name": name, "cost": cost, "test": test} for name, (cost, test) in ways.items()]
    assert list(kept(runs)) == [
        "- `interval` keeps 97% of dense nowhere",
        "- `searched` keeps 97% of dense at 0.700 of its FLOPs",
    ]
    assert "`interval` keeps 70% of dense at 0.800" in next(kept(runs, 0.7))
