"""Margins of single answers predict untried plans better than accuracies."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.special import ndtr

from search.strategies.guided.answers import (
    MIN_TRIALS_FOR_MARGINS,
    OPTIMISM,
    OPTIMISM_FROM,
    MarginModel,
    MarginTrend,
    compressed,
)
from search.strategies.guided.fidelities import RepeatedScore, RungModel
from search.strategies.guided.learning import Learned, Learner
from search.strategies.guided.measured import Reader
from search.strategies.guided.surrogate import Kernel, Surrogate
from search.strategies.plan_bits import Coding
from search.strategies.strategy import Observation
from spaces.plan import Plan
from tests.search.strategies.landscape import flops_ratio, task

QUESTIONS = 60
WANTED = task("layers", num_blocks=8)
CODING = Coding(WANTED.space)
PLANS = list(dict.fromkeys(WANTED.space.sample(np.random.default_rng(draw)) for draw in range(200)))
NEED = np.random.default_rng(1).gamma(0.5, 0.6, (CODING.num_bits, QUESTIONS))
"""(bits, questions), nats that every question loses per bit; for most pairs little."""
START = np.random.default_rng(2).uniform(1.0, 9.0, QUESTIONS)


def margins_of(plan: Plan) -> np.ndarray:
    return START - CODING.bits(CODING.encode([plan]))[0] @ NEED


def trial(number: int, plan: Plan, told: bool = True) -> Observation:
    margins = margins_of(plan)
    accuracy = float((margins > 0).mean())
    given = tuple(margins.tolist()) if told else None
    return Observation(number, plan, "", "complete", flops_ratio(plan), (accuracy,), True, given)


def learned(trials: list[Observation]) -> Learned:
    known = Learner(WANTED, CODING, Reader(WANTED, CODING)).learn(trials)
    assert known is not None
    return known


def test_margins_tell_more_of_plans_nobody_has_tried() -> None:
    seen, unseen = PLANS[:40], PLANS[40:]
    truth = np.array([trial(0, plan).accuracies[0] for plan in unseen])
    error = {}
    for told in (True, False):
        known = learned([trial(number, plan, told) for number, plan in enumerate([Plan.dense(8), *seen])])
        assert len(known.fidelities.levels) == 1 + told
        outlook = known.fidelities.of(CODING.bits(CODING.encode(unseen))).if_judged([None] * told)
        assert (outlook.chance == 1).all(), "nothing is stopped for its margins"
        error[told] = np.sqrt(np.mean((outlook.mean - truth) ** 2))
        off = np.sqrt(np.mean(((outlook.mean - truth) / outlook.deviation) ** 2))
        assert 0.5 < off < 2.0, "it knows about how sure it is"
    assert error[True] < 0.7 * error[False]


def test_few_trials_or_one_without_margins_are_learned_by_their_accuracies() -> None:
    few = [trial(number, plan) for number, plan in enumerate([Plan.dense(8), *PLANS[: MIN_TRIALS_FOR_MARGINS - 2]])]
    assert len(learned(few).fidelities.levels) == 1
    enough = [*few, trial(MIN_TRIALS_FOR_MARGINS, PLANS[50])]
    assert len(learned(enough).fidelities.levels) == 2
    assert len(learned([*enough[:-1], trial(MIN_TRIALS_FOR_MARGINS, PLANS[50], told=False)]).fidelities.levels) == 1


def test_what_is_learned_is_the_same_whenever_it_is_learned() -> None:
    """Kernels are cached between proposals; results with and without the cache are equal."""
    trials = [trial(number, plan) for number, plan in enumerate([Plan.dense(8), *PLANS[:30]])]
    learner = Learner(WANTED, CODING, Reader(WANTED, CODING))
    for count in range(2, len(trials)):
        learner.learn(trials[:count])
    kept, fresh = learner.learn(trials), learned(trials)
    assert kept is not None
    at = CODING.bits(CODING.encode(PLANS[60:70]))
    for one, other in zip(
        *(known.fidelities.of(at).if_judged([None]).__dict__.values() for known in (kept, fresh)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_the_share_and_its_doubt_are_those_of_simulated_margins() -> None:
    """Margins are drawn from the processes, with the correlation of questions in the measured plans."""
    rng = np.random.default_rng(5)
    bits = (rng.random((30, 6)) < 0.5).astype(float)
    kernel = Kernel(linear=0.1, product=2.0, noise=0.05, pairs=0.01, weights=np.full(6, 0.3))
    groups = np.repeat(np.eye(4), 20, axis=1)  # four groups of questions that fail together
    inside = kernel.between(bits, bits) + kernel.noise * np.eye(30)
    values = np.linalg.cholesky(inside) @ rng.standard_normal((30, 4)) @ groups
    fall = MarginTrend(np.full(6, 0.5), np.full(6, 0.5), rng.uniform(-1.0, 4.0, 80), -1.0)
    at = np.array(list(product((0.0, 1.0), repeat=6)))[[3, 17, 40, 60]]
    rise = MarginModel(fall, Surrogate(kernel, bits, values)).conditional(at)
    mean, deviation = rise.after(np.zeros(4), np.zeros(4))
    rest, doubt = Surrogate(kernel, bits, values).predict(at)
    doubt = np.sqrt(doubt**2 + kernel.noise)
    center = fall.mean(at) + rest
    for plan in range(4):
        drawn = center[plan] + doubt[plan] * rng.standard_normal((20_000, 4)) @ groups
        shares = (drawn > 0).mean(1)
        # the logistic curve is off by 0.01 at most; the deviation is linearized, with groups estimated from 30 plans
        assert mean[plan] == pytest.approx(ndtr(center[plan] / doubt[plan]).mean(), abs=0.01)
        assert mean[plan] == pytest.approx(shares.mean(), abs=0.012)
        assert 0.5 * shares.std() < deviation[plan] < 1.6 * shares.std()


def test_a_bold_doubt_is_at_least_as_far_up_as_simulated_shares_go() -> None:
    """Where all answers are predicted wrong, the deviation exceeds the linearized one, up to 2.5 times the simulated
    quantile, because measured margins have longer tails than the process; where all are predicted right, less."""
    rng = np.random.default_rng(6)
    bits = (rng.random((OPTIMISM_FROM, 12)) < 0.5).astype(float)
    kernel = Kernel(linear=0.1, product=2.0, noise=0.05, pairs=0.01, weights=np.full(12, 0.3))
    drawn = np.linalg.cholesky(kernel.between(bits, bits) + kernel.noise * np.eye(OPTIMISM_FROM))
    drawn = drawn @ rng.standard_normal((OPTIMISM_FROM, 81))
    values = np.sqrt(0.5) * (drawn[:, :1] + drawn[:, 1:])  # half of the variance is of all questions, half of each
    at = (rng.random((1, 12)) < 0.5).astype(float)
    rest, doubt = Surrogate(kernel, bits, values).predict(at)
    doubt = float(np.hypot(doubt[0], np.sqrt(kernel.noise)))
    draws = np.sqrt(0.5) * (rng.standard_normal((40_000, 1)) + rng.standard_normal((40_000, 80)))
    for off, least, most in ((-2.0, 1.0, 2.5), (2.0, 1.0, 1.5)):
        fall = MarginTrend(np.full(12, 0.5), np.full(12, 0.5), off * doubt - rest[0], 0.0)
        bold = MarginModel(fall, Surrogate(kernel, bits, values))
        timid = MarginModel(fall, Surrogate(kernel, bits[1:], values[1:]))
        shares = (off + draws > 0).mean(1)
        up = (np.quantile(shares, ndtr(OPTIMISM)) - shares.mean()) / OPTIMISM
        one, other = bold.conditional(at).own[0], timid.conditional(at).own[0]
        assert least * up < one < most * up
        assert (one > other) == (off < 0) and (other < up if off < 0 else other > most * up), "the slope alone"


def test_accuracies_that_are_the_share_of_margins_are_not_learned_again() -> None:
    trials = [trial(number, plan) for number, plan in enumerate([Plan.dense(8), *PLANS[:30]])]
    assert isinstance(learned(trials).fidelities.levels[1], RepeatedScore)
    odd = replace(trials[7], accuracies=(trials[7].accuracies[0] + 0.01,))
    assert isinstance(learned([*trials[:7], odd, *trials[8:]]).fidelities.levels[1], RungModel)


def test_a_fall_is_the_slope_through_the_dense_plan() -> None:
    bits = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    tolls = np.array([1.0, 2.0])
    margins = np.array([[4.0, 1.0], [6.0, 3.0], [0.0, -3.0]])
    fall = MarginTrend.through(bits, margins, tolls, tolls)
    assert fall.slope == pytest.approx(-(1 * 2 + 3 * 6) / (1 + 9))
    np.testing.assert_allclose(fall.mean(bits), [[4.0, 1.0], [6.0, 3.0], [0.0, -3.0]])
    alone = MarginTrend.through(bits[1:2], margins[1:2], tolls, tolls)
    np.testing.assert_allclose(alone.mean(bits), np.tile(margins[1], (3, 1)))


def test_bent_margins_keep_their_order_and_what_is_right() -> None:
    margins = np.linspace(-20, 20, 201)
    low = compressed(margins)
    assert (np.diff(low) > 0).all()
    np.testing.assert_array_equal(low[margins >= 0], margins[margins >= 0])
    assert low[0] > -5 and (low[margins < 0] < 0).all()
