"""Artificial landscapes have the interactions that their names say."""

import numpy as np
import pytest

from benchmarks.truth.artificial import CHOSEN_ON, HELD_OUT, MADE, open_made
from benchmarks.truth.formula import FATAL, KINDS, Formula
from spaces.plan import Op, Plan


@pytest.mark.parametrize("kind", KINDS)
def test_margins_are_a_sum_over_bits_and_pairs(kind: str) -> None:
    formula, rng = Formula(kind, 8), np.random.default_rng(0)
    bits = (rng.random((5, 16)) < 0.4).astype(float)
    first, second, weight = formula.pairs
    for row, got in zip(bits, formula.margins(bits), strict=True):
        slow = formula.start - sum(row[bit] * formula.alone[bit] for bit in range(16))
        slow = slow + sum(w * row[i] * row[j] for i, j, w in zip(first, second, weight, strict=True))
        np.testing.assert_allclose(got, slow)
    assert formula.costs(np.zeros((1, 16)))[0] == 1.0 and 0 < formula.costs(np.ones((1, 16)))[0] < 0.1


def test_redundant_bits_are_fatal_alone_and_harmless_together_or_the_reverse() -> None:
    formula = Formula("redundant", 24)
    for first, second, weight in zip(*formula.pairs, strict=True):
        plans = np.zeros((3, 48))
        plans[0, first] = plans[1, second] = 1
        plans[2, [first, second]] = 1
        lost = (formula.start - formula.margins(plans)).mean(1)
        alone, together = lost[:2].min(), lost[2]
        assert (alone > FATAL / 2 > together) if weight > 0 else (together > FATAL)


def test_fragile_plans_far_from_dense_answer_nothing() -> None:
    table = open_made("fragile24")
    singles = [Plan.dense(24).replace(block, Op.SKIP_BLOCK) for block in range(24)]
    accuracies = [table.climb(table.row(plan))[0] for plan in singles]
    assert np.median(accuracies) < 0.7
    assert table.climb(table.row(Plan.of([Op.SKIP_BLOCK] * 24)))[0] == 0.0


def test_half_of_the_landscapes_are_held_out() -> None:
    assert not set(CHOSEN_ON) & set(HELD_OUT) and len(CHOSEN_ON) == len(HELD_OUT)
    assert {made.formula.num_blocks for made in MADE.values()} == {24, 40, 80}


def test_a_noisy_table_shows_noise_and_counts_the_truth() -> None:
    table = open_made("noisy24")
    rows = [
        table.row(plan) for plan in (Plan.dense(24), *list(table.landscape.searched.neighbors(Plan.dense(24)))[:30])
    ]
    seen = np.array([table.climb(row)[0] for row in rows])
    true = table.accuracy("search", rows)
    assert np.abs(seen - true).max() > 0.005
    assert np.abs((seen - true).mean()) < 0.02, "the noise has no bias"
    assert table.margins_of(rows[0]) is None and table.importance(0) is None
