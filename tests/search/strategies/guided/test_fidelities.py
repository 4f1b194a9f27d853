"""The model of several rungs: against simulation, and on a landscape where tuning reorders plans."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from search.strategies.guided.fidelities import Fidelities, Line, RungModel, cut_off
from search.strategies.guided.improvement import expected_improvement
from search.strategies.guided.learning import RESUMED_WEIGHT, Learner
from search.strategies.guided.measured import Reader
from search.strategies.guided.prior import Prior
from search.strategies.guided.surrogate import Kernel, Surrogate
from search.strategies.plan_bits import Coding
from search.strategies.strategy import Observation
from spaces.plan import Plan
from tests.search.strategies.landscape import additive_accuracy, flops_ratio, task

RNG = np.random.default_rng(7)
BITS = (RNG.random((40, 6)) < 0.5).astype(float)


@pytest.mark.parametrize("bar", [-np.inf, 0.2, 0.5, 0.8])
def test_what_is_left_above_a_bar_is_what_a_simulation_leaves(bar: float) -> None:
    draws = 0.5 + 0.1 * RNG.standard_normal(400_000)
    left = draws[draws > bar]
    chance, mean, deviation = cut_off(np.array([0.5]), np.array([0.1]), np.array([bar]))
    assert chance[0] == pytest.approx(len(left) / len(draws), abs=0.003)
    assert mean[0] == pytest.approx(left.mean(), abs=0.002)
    assert deviation[0] == pytest.approx(left.std(), abs=0.002)


@pytest.mark.parametrize("bar", [5.0, -5.0])
def test_a_bar_far_off_leaves_numbers(bar: float) -> None:
    chance, mean, deviation = cut_off(np.array([0.5]), np.array([1e-3]), np.array([bar]))
    assert np.isfinite([*chance, *mean]).all()
    assert deviation[0] > 0
    assert (chance[0] < 1e-6) == (bar > 0)


def test_an_outlook_is_the_mean_of_simulated_climbs() -> None:
    """Simulated trials are drawn at the first rung, continued by the regressions, and stopped at the threshold."""
    kernel = Kernel(linear=0.0, product=0.02, noise=1e-4, pairs=0.0, weights=np.full(6, 0.4))
    prior = Prior(0.8, np.full(6, 0.1), 1.0, even=0.1)
    first = Surrogate(kernel, BITS[:20], 0.1 * RNG.standard_normal(20))
    second = Surrogate(kernel, BITS[:10], 0.05 * RNG.standard_normal(10))
    known = Fidelities([RungModel(prior, first), RungModel(Line(0.1, 0.8, 6), second)])
    at = BITS[30:34]
    rest, deviation = first.predict(at)
    mean = prior.base(at) + rest
    bar = mean + deviation * np.array([-1.0, 0.0, -np.inf, 1.0])
    got = known.of(at).if_judged([bar])
    low = mean + deviation * RNG.standard_normal((200_000, 4))
    more, doubt = second.predict(at)
    high = 0.1 + 0.8 * low + more + doubt * RNG.standard_normal(low.shape)
    for plan in range(4):
        climbed = low[:, plan] > bar[plan]
        assert got.chance[plan] == pytest.approx(climbed.mean(), abs=0.005)
        assert got.mean[plan] == pytest.approx(high[climbed, plan].mean(), abs=0.005)
        assert got.deviation[plan] == pytest.approx(high[climbed, plan].std(), abs=0.005)


def test_what_a_trial_that_goes_on_will_score_starts_from_what_it_scored() -> None:
    kernel = Kernel(linear=0.0, product=0.02, noise=1e-4, pairs=0.0, weights=np.full(6, 0.4))
    first = Surrogate(kernel, BITS[:20], 0.1 * RNG.standard_normal(20))
    later = [Surrogate(kernel, BITS[:10], 0.05 * RNG.standard_normal(10)) for _ in range(2)]
    lines = Line(0.1, 0.8, 6), Line(0.02, 1.1, 6)
    levels = [RungModel(Prior(0.8, np.full(6, 0.1), 1.0, even=0.1), first), *map(RungModel, lines, later)]
    at = BITS[30:33]
    so_far = np.array([[0.5, np.nan, np.nan], [0.5, 0.6, np.nan], [0.5, 0.6, 0.7]])
    got = Fidelities(levels).of(at).if_continued(so_far)
    (more, doubt), (rest, last) = (surrogate.predict(at) for surrogate in later)
    second = 0.1 + 0.8 * 0.5 + more[0] + doubt[0] * RNG.standard_normal(200_000)
    third = 0.02 + 1.1 * second + rest[0] + last[0] * RNG.standard_normal(200_000)
    assert got.mean[0] == pytest.approx(third.mean(), abs=0.002)
    assert got.deviation[0] == pytest.approx(third.std(), abs=0.002)
    assert got.mean[1] == pytest.approx(0.02 + 1.1 * 0.6 + rest[1])
    assert got.deviation[1] == pytest.approx(last[1], abs=1e-6)
    assert (got.mean[2], got.chance.tolist()) == (0.7, [1, 1, 1])
    assert 0 < got.deviation[2] < 1e-5


def test_a_line_is_the_mean_gain_for_few_trials_and_least_squares_for_many() -> None:
    one = Line.through(np.array([0.5]), np.array([0.6]), 3)
    assert (one.slope, one.base(np.zeros((1, 3)))[0] + 0.5) == (1.0, pytest.approx(0.6))
    before = RNG.random(2000)
    many = Line.through(before, 0.3 + 0.6 * before, 3)
    assert many.slope == pytest.approx(0.6, abs=0.001)
    assert many.offset == pytest.approx(0.3, abs=0.001)


def mends_ffn(plan: Plan) -> float:
    """Return the accuracy that tuning adds: all that a skipped FFN lost, part for a block, none for attention."""
    return 0.05 * str(plan).count("f") + 0.02 * str(plan).count("b")


def climbed(plans: list[Plan], full: int) -> list[Observation]:
    """The first `full` plans were tuned."""
    trials = []
    for number, plan in enumerate(plans):
        low = 0.7 * additive_accuracy(plan)
        rungs = (low, low + mends_ffn(plan)) if number < full else (low,)
        state = "complete" if number < full else "stopped"
        trials.append(Observation(number, plan, "", state, flops_ratio(plan), rungs, number < full))
    return trials


def test_what_tuning_mends_is_learned_from_the_few_trials_that_were_tuned() -> None:
    wanted = replace(task("layers", num_blocks=8), keep_fraction=1 / 3)
    plans = list(dict.fromkeys(wanted.space.sample(np.random.default_rng(draw)) for draw in range(260)))
    seen, unseen = plans[:120], plans[120:]
    coding = Coding(wanted.space)
    trials = climbed([Plan.dense(8), *seen], full=40)
    known = Learner(wanted, coding, Reader(wanted, coding)).learn(trials)
    assert known is not None
    truth = np.array([0.7 * additive_accuracy(plan) + mends_ffn(plan) for plan in unseen])
    got = known.fidelities.of(coding.bits(coding.encode(unseen))).if_judged().mean
    # One lift for all plans would be off by the spread of what tuning adds: 0.05.
    spread = np.std([mends_ffn(plan) for plan in unseen])
    assert np.sqrt(np.mean((got - truth) ** 2)) < 0.5 * spread
    assert spearmanr(got, truth).statistic > 0.95
    stopped = [trial for trial in trials if len(trial.accuracies) == 1][:30]
    so_far = np.array([(*trial.accuracies, np.nan) for trial in stopped])
    finished = known.fidelities.of(coding.bits(coding.encode([t.plan for t in stopped]))).if_continued(so_far).mean
    exact = [t.accuracies[0] + mends_ffn(t.plan) for t in stopped]
    assert np.sqrt(np.mean(np.subtract(finished, exact) ** 2)) < 0.4 * spread


def test_plans_that_would_be_stopped_are_expected_to_add_less() -> None:
    """With few promotions, a plan below the threshold of the cheapest rung adds what it would after one more trial."""
    wanted = task("layers", num_blocks=8)
    coding = Coding(wanted.space)
    plans = list(dict.fromkeys(wanted.space.sample(np.random.default_rng(draw)) for draw in range(90)))
    trials = climbed([Plan.dense(8), *plans], full=30)
    reader = Reader(wanted, coding)
    strict, lax = (Learner(replace(wanted, keep_fraction=keep), coding, reader).learn(trials) for keep in (0.05, 1.0))
    assert strict is not None and lax is not None
    others = [plan for plan in wanted.space.neighbors(plans[0]) if plan not in plans]
    bits, costs = coding.bits(coding.encode(others)), np.array([flops_ratio(plan) for plan in others])
    assert (strict.fidelities.of(bits).if_judged([s.at(costs) for s in strict.bars]).chance < 0.9).any()
    assert strict.gains(bits, costs).sum() < lax.gains(bits, costs).sum()
    prospects = strict.fidelities.of(bits)
    on, judged = prospects.if_judged(), prospects.if_judged([s.at(costs) for s in strict.bars])
    whole = expected_improvement(strict.front, costs, on.mean, on.deviation)
    passed = judged.chance * expected_improvement(strict.front, costs, judged.mean, judged.deviation)
    below = passed < whole
    assert below.any()
    np.testing.assert_allclose(
        strict.gains(bits, costs)[below], ((1 - RESUMED_WEIGHT) * passed + RESUMED_WEIGHT * whole)[below]
    )
