"""The prior of `guided`: importance of sub-layers as losses of bits, and the scan that measures them."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from search.strategies.guided.guided import BLIND_SHARE, CHEAPEST_FROM, CHEAPEST_PER_BIT, MAX_SCANNED, Guided
from search.strategies.guided.learning import Learner
from search.strategies.guided.measured import Reader
from search.strategies.guided.prior import prior_of, prior_tolls
from search.strategies.plan_bits import Coding, removed
from search.strategies.scan import independent_singles
from search.strategies.strategy import Focus, Observation
from spaces.constraints import Limit
from spaces.plan import Block, Op, Plan
from spaces.scope import Scope
from spaces.spaces import load_space
from tests.search.strategies.landscape import flops_ratio, observed, search, task

RNG = np.random.default_rng(11)
IMPORTANCE = tuple((float(attention), float(ffn)) for attention, ffn in RNG.exponential(size=(6, 2)))


def halves() -> np.ndarray:
    """Return the expected tolls, (6, 2): proportional to the importance, with a sum of 3."""
    return 3 * np.array(IMPORTANCE) / np.sum(IMPORTANCE)


@pytest.mark.parametrize("name", ["blocks", "layers", "scoped"])
def test_tolls_are_those_of_what_a_level_leaves_out(name: str) -> None:
    coding = Coding(load_space(name, 6))
    tolls = prior_tolls(coding, IMPORTANCE)
    assert (tolls >= 0).all()
    for block in range(6):
        singles = np.zeros((coding.counts[block], 6), dtype=np.int16)
        singles[:, block] = range(coding.counts[block])
        got = coding.bits(singles) @ tolls
        wanted = [np.dot(removed(level), halves()[block]) for level in coding.choices[block]]
        plain = [level.op is not Op.PAIRED and level.op is not Op.PAIR for level in coding.choices[block]]
        np.testing.assert_allclose(got[plain], np.array(wanted)[plain], atol=0.15 if name == "scoped" else 1e-9)


def test_bits_are_alike_where_nobody_measured_the_importance() -> None:
    coding = Coding(load_space("layers", 6))
    for unknown in (None, ((0.0, 0.0),) * 6):
        tolls = prior_tolls(coding, unknown)
        assert tolls.sum() == pytest.approx(3) and np.ptp(tolls) == 0


def test_a_unit_of_importance_does_not_matter() -> None:
    coding = Coding(load_space("layers", 6))
    scaled = tuple((1e4 * attention, 1e4 * ffn) for attention, ffn in IMPORTANCE)
    np.testing.assert_allclose(prior_tolls(coding, scaled), prior_tolls(coding, IMPORTANCE))


@pytest.mark.parametrize(
    ("level", "share"),
    [
        (Block(Op.KEEP), (0, 0)),
        (Block(Op.SKIP_ATTN), (1, 0)),
        (Block(Op.SKIP_BLOCK, Scope.VISUAL), (1 / 3, 1 / 3)),
        (Block(Op.SKIP_FFN, Scope.PROMPT), (0, 2 / 3)),
        (Block(Op.PARALLEL), (0.5, 0.5)),
        (Plan.parse(".{ffn50}").blocks[0], (0, 0.5)),
        (Plan.parse("a{ffn25}").blocks[0], (1, 0.75)),
    ],
)
def test_what_a_level_leaves_out(level: Block, share: tuple[float, float]) -> None:
    assert removed(level) == pytest.approx(share)


def test_a_scan_is_believed_and_the_rest_follows_what_was_known() -> None:
    coding = Coding(load_space("blocks", 6))
    beforehand = prior_tolls(coding, IMPORTANCE)
    plans = [Plan.parse(text) for text in ("b.....", ".b....")]
    prior = prior_of(
        coding.bits(coding.encode(plans)), np.array([0.4, 0.7]), np.ones(2, dtype=bool), 0.8, beforehand, even=0.1
    )
    np.testing.assert_allclose(prior.tolls[:2], np.log(0.8 / np.array([0.4, 0.7])), rtol=0.03)
    np.testing.assert_allclose(prior.tolls[2:] / prior.tolls[2], beforehand[2:] / beforehand[2])


def test_one_harmless_block_does_not_take_the_tolls_from_the_others() -> None:
    coding = Coding(load_space("blocks", 6))
    beforehand = prior_tolls(coding, IMPORTANCE)
    least = min(range(6), key=lambda block: sum(IMPORTANCE[block]))
    plan = Plan.dense(6).replace(least, Op.SKIP_BLOCK)
    prior = prior_of(coding.bits(coding.encode([plan])), np.array([0.8]), np.ones(1, dtype=bool), 0.8, beforehand, 0.1)
    others = np.arange(6) != least
    assert prior.tolls[least] < 0.1 * beforehand[least]
    assert (prior.tolls[others] > 0.5 * beforehand[others]).all()


def test_importance_ranks_plans_before_they_are_measured() -> None:
    """On a landscape where accuracy falls with the importance left out; dense and two others measured."""
    wanted = task("layers", num_blocks=6)
    coding = Coding(wanted.space)
    plans = [wanted.space.sample(np.random.default_rng(seed)) for seed in range(60)]
    lost = coding.bits(coding.encode(plans)) @ prior_tolls(coding, IMPORTANCE)
    ranks = {}
    for importance in (IMPORTANCE, None):
        history = [replace(trial, importance=None) for trial in observed([Plan.dense(6), *plans[:2]])]
        history[0] = replace(history[0], importance=importance)
        known = Learner(wanted, coding, Reader(wanted, coding)).learn(history)
        assert known is not None
        expected = known.fidelities.of(coding.bits(coding.encode(plans[2:]))).if_judged().mean
        ranks[importance is None] = spearmanr(expected, -lost[2:])[0]
    assert ranks[False] > 0.9 > ranks[True]


@pytest.mark.parametrize(
    ("name", "ops", "expected"),
    [
        ("blocks", (Op.SKIP_BLOCK,), {Op.SKIP_BLOCK: 5}),
        ("layers", (Op.SKIP_ATTN, Op.SKIP_FFN, Op.SKIP_BLOCK), {Op.SKIP_ATTN: 5, Op.SKIP_FFN: 5}),
        ("layers", (Op.SKIP_FFN, Op.SKIP_BLOCK), {Op.SKIP_FFN: 5, Op.SKIP_BLOCK: 5}),
    ],
)
def test_a_scan_is_as_small_as_says_what_every_bit_costs(name: str, ops: tuple[Op, ...], expected: dict) -> None:  # type: ignore[type-arg]
    space = load_space(name, 5, ops=ops)
    coding = Coding(space)
    singles = independent_singles(space, coding, lambda plan: True)
    assert Counter(op for plan in singles for op in plan.ops if op is not Op.KEEP) == expected
    bits = coding.bits(coding.encode(singles))
    every = [plan for plan in space.neighbors(Plan.dense(5)) if plan.num_changed == 1]
    assert np.linalg.matrix_rank(bits) == len(bits) == np.linalg.matrix_rank(coding.bits(coding.encode(every)))


@pytest.mark.parametrize(
    ("num_blocks", "budget", "known", "scanned"),
    [
        (8, 79, True, 0),
        (8, 80, True, 16),
        (10, 1000, True, MAX_SCANNED),
        (11, 1000, True, 0),
        (8, 79, False, int(79 * BLIND_SHARE)),
        (8, 80, False, 16),
    ],
)
def test_a_scan_is_whole_or_left_out_where_importance_is_known(
    num_blocks: int, budget: int, known: bool, scanned: int
) -> None:
    """A scan has two plans per block, one without its attention and one without its FFN.

    Where importance could not be measured, as many plans are scanned as fit.
    """
    wanted = task("layers", num_blocks=num_blocks, budget=budget)
    (dense,) = observed([Plan.dense(num_blocks)])
    importance = ((1.0, 1.0),) * num_blocks if known else None
    strategy, history = Guided(wanted), [replace(dense, importance=importance)]
    origins = []
    for number in range(1, 2 * num_blocks + 4):
        proposal = strategy.ask(history, np.random.default_rng(number))
        origins.append(proposal.origin)
        history.append(
            Observation(
                number, proposal.plan, proposal.origin, "complete", flops_ratio(proposal.plan), (0.5,), full=True
            )
        )
    assert sum(origin.startswith("scan") for origin in origins) == scanned


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "num_blocks", "tightest", "due"),
    [("layers", 8, None, CHEAPEST_PER_BIT * 24), ("blocks", 12, 0.3, CHEAPEST_FROM)],
)
def test_the_other_end_is_tried_once_there_are_trials_between(
    space: str, num_blocks: int, tightest: float | None, due: int
) -> None:
    """As a probe where it breaks a limit, such as one on what must be left."""
    # Only where the expensive end adds nothing: else it may be proposed earlier for its expected improvement.
    wanted = replace(task(space, num_blocks, budget=60), focus=Focus(min_flops=0.6))
    if tightest is not None:
        wanted = replace(wanted, limits=(Limit("what is left", -tightest, lambda plan: -flops_ratio(plan)),))
    nothing_left = Plan.parse("b" * num_blocks)
    proposals = search(wanted, "guided")
    places = [number for number, proposal in enumerate(proposals) if proposal.plan == nothing_left]
    assert places == [due]
    assert proposals[due].probe == (tightest is not None)
