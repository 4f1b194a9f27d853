"""The parts of `guided`, each against a slower computation of the same number."""

from dataclasses import replace

import numpy as np
import pytest

from objectives.hypervolume import hypervolume
from objectives.objectives import MAXIMIZE, REFERENCE
from search.strategies.guided import learning
from search.strategies.guided.children import children
from search.strategies.guided.guided import Guided
from search.strategies.guided.improvement import Staircase, expected_improvement
from search.strategies.guided.learning import Learned, Learner
from search.strategies.guided.measured import Reader
from search.strategies.guided.prior import Prior, prior_of
from search.strategies.guided.surrogate import Kernel, Surrogate, fit, negative_likelihood
from search.strategies.plan_bits import Coding
from search.strategies.strategy import Focus, Observation, Task
from spaces.plan import Op, Plan
from spaces.spaces import load_space
from tests.search.strategies.landscape import flops_ratio, observed, search, task

RNG = np.random.default_rng(5)
BITS = (RNG.random((30, 8)) < 0.5).astype(float)
VALUES = RNG.random(30)
KERNEL = Kernel(linear=0.1, product=0.3, noise=0.01, pairs=0.02, weights=RNG.random(8))
ALIKE = {num_bits: np.full(num_bits, 3 / num_bits) for num_bits in (9, 12)}
"""Tolls where nothing is known beforehand."""
PRIOR = Prior(0.9, np.full(8, 0.05), 1.0, even=0.1)


def test_the_posterior_is_the_textbook_one() -> None:
    def covariance(one: np.ndarray, two: np.ndarray) -> float:
        differ = (one != two).astype(float)
        alike = (one - 0.5) @ (two - 0.5)
        return float(0.1 * alike + 0.02 * alike**2 + 0.3 * np.exp(-KERNEL.weights @ differ))

    train, at = BITS[:20], BITS[20:]
    inside = np.array([[covariance(a, b) for b in train] for a in train]) + 0.01 * np.eye(20)
    across = np.array([[covariance(a, b) for b in train] for a in at])
    mean = across @ np.linalg.solve(inside, VALUES[:20])
    variance = [covariance(a, a) - row @ np.linalg.solve(inside, row) for a, row in zip(at, across, strict=True)]
    got_mean, got_deviation = Surrogate(KERNEL, train, VALUES[:20]).predict(at)
    # it predicts in single precision, where rounding is 1e-7 of the values, times the condition of the covariances
    np.testing.assert_allclose(got_mean, mean, atol=1e-5)
    np.testing.assert_allclose(got_deviation, np.sqrt(variance), rtol=1e-4)


def test_the_slope_of_the_likelihood_is_its_difference_quotient() -> None:
    logs = np.log(np.concatenate([[0.2, 0.5, 0.02, 0.03], KERNEL.weights]))
    columns = np.stack([VALUES, np.random.default_rng(9).standard_normal(len(VALUES))], axis=1)
    scatter = columns @ columns.T / 2
    _, slope = negative_likelihood(np.exp(logs), BITS, scatter, 2)
    for place in range(len(logs)):
        step = np.zeros(len(logs))
        step[place] = 1e-5
        up, down = (negative_likelihood(np.exp(logs + sign * step), BITS, scatter, 2)[0] for sign in (1, -1))
        assert slope[place] == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-5)


def test_columns_of_values_are_processes_with_one_kernel() -> None:
    other = np.random.default_rng(8).standard_normal(len(VALUES))
    both = Surrogate(KERNEL, BITS[:20], np.stack([VALUES, other], axis=1)[:20])
    mean, deviation = both.predict(BITS[20:])
    for column, values in enumerate((VALUES, other)):
        alone = Surrogate(KERNEL, BITS[:20], values[:20])
        np.testing.assert_allclose(mean[:, column], alone.predict(BITS[20:])[0], atol=1e-5)
        np.testing.assert_allclose(deviation, alone.predict(BITS[20:])[1], rtol=1e-6)
    inside = KERNEL.between(BITS[:20], BITS[:20]) + KERNEL.noise * np.eye(20)
    drawn = np.linalg.cholesky(inside) @ np.random.default_rng(2).standard_normal((20, 4000))
    whitened = Surrogate(KERNEL, BITS[:20], drawn).whitened
    np.testing.assert_allclose(whitened @ whitened.T / 4000, np.eye(20), atol=0.1)


def test_a_kernel_of_columns_is_that_of_each_when_they_are_alike() -> None:
    logs = np.concatenate([[0.2, 0.5, 0.02, 0.03], KERNEL.weights])
    scatter = np.outer(VALUES, VALUES)
    once, twice = (negative_likelihood(logs, BITS, scatter, times)[0] for times in (1, 2))
    assert twice == pytest.approx(2 * once), "two independent columns say twice as much"


def test_each_plan_in_turn_is_predicted_from_those_before_it() -> None:
    explained, deviation = Surrogate(KERNEL, BITS, VALUES).in_turn()
    whitened = Surrogate(KERNEL, BITS, VALUES).whitened
    for place in (1, 7, 29):
        mean, own = Surrogate(KERNEL, BITS[:place], VALUES[:place]).predict(BITS[[place]])
        assert (explained @ whitened)[place] == pytest.approx(mean[0], abs=1e-4)
        assert deviation[place] == pytest.approx(np.hypot(own[0], KERNEL.noise**0.5), rel=1e-3)


def test_pairs_are_learned_wherever_else_plans_differ() -> None:
    """Two bits that are fatal alone and harmless together, in plans with nothing else in common."""
    rng = np.random.default_rng(1)
    bits = (rng.random((60, 16)) < 0.5).astype(float)
    values = -np.abs(bits[:, 3] - bits[:, 11])
    known = Surrogate(fit(np.full(16, 3 / 16), bits, values, pairs=True), bits, values)
    other = (rng.random((40, 16)) < 0.5).astype(float)
    assert np.corrcoef(known.predict(other)[0], -np.abs(other[:, 3] - other[:, 11]))[0, 1] > 0.8


def test_a_fit_finds_the_bits_that_matter() -> None:
    values = 0.9 * np.exp(-2.0 * BITS[:, 0] * BITS[:, 1] - 1.0 * BITS[:, 2])
    weights = fit(PRIOR.weights, BITS, values - PRIOR.base(BITS)).weights
    assert weights[:3].min() > 2 * weights[3:].max()


@pytest.mark.slow
def test_expected_improvement_is_the_mean_growth_of_the_hypervolume() -> None:
    front = np.array([[0.9, 1.0], [0.7, 0.6], [0.65, 0.7], [0.2, 0.3]])
    costs, means, deviations = np.array([0.5, 0.65, 0.9, 0.4]), np.array([0.5, 0.75, 0.1, 0.95]), np.full(4, 0.2)
    got = expected_improvement(Staircase(front), costs, means, deviations)
    before = hypervolume(front, REFERENCE, MAXIMIZE)
    for place in range(4):
        draws = means[place] + deviations[place] * np.random.default_rng(place).standard_normal(20_000)
        draws = np.minimum(draws, 1.0)  # no plan is more accurate than always right
        grown = [hypervolume([*front, (draw, costs[place])], REFERENCE, MAXIMIZE) for draw in draws]
        assert got[place] == pytest.approx(np.mean(grown) - before, abs=1.5e-3)


def test_where_a_cheaper_plan_is_always_right_nothing_is_expected_of_a_dearer_one() -> None:
    front = Staircase(np.array([[1.0, 0.6]]))
    dearer, cheaper = expected_improvement(front, np.array([0.7, 0.5]), np.full(2, 0.99), np.full(2, 0.05))
    assert dearer == pytest.approx(0.0, abs=1e-12)
    assert cheaper > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("focus", [Focus(min_accuracy=0.4), Focus(min_flops=0.4, max_flops=0.68), Focus(0.3, 0.5, 0.9)])
def test_in_a_focus_only_growth_within_it_is_expected(focus: Focus) -> None:
    front = np.array([[0.9, 1.0], [0.7, 0.6], [0.65, 0.7], [0.2, 0.3]])
    costs, means, deviations = np.array([0.35, 0.65, 0.9]), np.array([0.5, 0.75, 0.8]), np.array([0.2, 0.1, 0.3])
    got = expected_improvement(Staircase(front, focus), costs, means, deviations)

    def volume(points: list[tuple[float, float]]) -> float:
        within = [(accuracy, max(cost, focus.min_flops)) for accuracy, cost in points]
        return hypervolume(within, (focus.min_accuracy, focus.max_flops), MAXIMIZE)

    known = [tuple(point) for point in front.tolist()]
    for place in range(3):
        draws = np.minimum(1, means[place] + deviations[place] * np.random.default_rng(place).standard_normal(20_000))
        grown = [volume([*known, (draw, costs[place])]) for draw in draws]
        assert got[place] == pytest.approx(np.mean(grown) - volume(known), abs=1.5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["guided", "evolution"])
def test_effort_goes_where_the_focus_is(strategy: str) -> None:
    everywhere = task("layers", budget=120)
    there = replace(everywhere, focus=Focus(min_flops=0.5, max_flops=0.7))
    counts = [
        sum(0.45 <= flops_ratio(proposal.plan) <= 0.75 for proposal in search(wanted, strategy)[60:])
        for wanted in (everywhere, there)
    ]
    assert counts[1] > 1.5 * counts[0]


def test_the_prior_reads_tolls_off_the_scan() -> None:
    coding = Coding(load_space("layers", 4))
    tolls = np.linspace(0.02, 0.15, 12)
    singles = [plan for plan in load_space("layers", 4).neighbors(Plan.dense(4))]
    bits = coding.bits(coding.encode(singles))
    prior = prior_of(bits, 0.8 * np.exp(-bits @ tolls), np.ones(len(bits), dtype=bool), 0.8, ALIKE[12], even=0.1)
    np.testing.assert_allclose(prior.tolls, tolls, atol=0.01)
    assert prior.steepness == 1.0
    assert prior.base(np.ones((1, 12)))[0] == pytest.approx(0.8 * np.exp(-tolls.sum()), rel=0.01)
    steeper = prior_of(
        np.concatenate([bits, [[1] * 12]]),
        np.append(0.8 * np.exp(-bits @ tolls), 0.8 * np.exp(-2 * tolls.sum())),
        np.append(np.ones(len(bits), dtype=bool), False),
        0.8,
        ALIKE[12],
        even=0.1,
    )
    assert steeper.steepness > 1.0


def test_halves_share_the_toll_of_a_whole_block_where_only_that_was_scanned() -> None:
    coding = Coding(load_space("layers", 3))
    plans = [Plan.parse(text) for text in ("b..", ".b.", "..b")]
    bits = coding.bits(coding.encode(plans))
    prior = prior_of(bits, np.array([0.2, 0.8, 0.8]), np.ones(3, dtype=bool), 0.9, ALIKE[9], even=0.1)
    tolls = prior.tolls.reshape(3, 3)
    assert tolls[0, 0] == pytest.approx(tolls[0, 1])
    assert tolls[0, :2].sum() == pytest.approx(np.log(0.9 / 0.2), rel=0.05)


@pytest.mark.parametrize("name", ["blocks", "layers", "interval"])
def test_codes_and_children_are_plans_of_the_space(name: str) -> None:
    space, rng = load_space(name, 9), np.random.default_rng(0)
    coding = Coding(space)
    plans = [space.sample(rng) for _ in range(20)]
    assert [coding.decode(code) for code in coding.encode(plans)] == plans
    born = [coding.decode(code) for code in children(space, coding, coding.encode(plans), 200, rng)]
    assert all(child in space for child in born)
    assert len(set(born)) > 20
    assert len({child.num_changed for child in born}) > 3


def test_bits_say_what_is_left_out() -> None:
    coding = Coding(load_space("layers", 5))
    rows = coding.bits(coding.encode([Plan.of([Op.KEEP, Op.SKIP_ATTN, Op.SKIP_FFN, Op.SKIP_BLOCK, Op.PARALLEL])]))
    assert rows.reshape(5, 3).tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert Coding(load_space("blocks", 5)).bits(np.zeros((1, 5), dtype=np.int8)).shape == (1, 5)


def test_the_trials_nearest_to_the_front_come_first_with_what_their_rungs_lack() -> None:
    wanted = task("blocks", num_blocks=3)
    plans = [Plan.parse(text) for text in ("...", "..b", ".b.", "b..")]
    seen = [(0.5, 0.6, 0.65), (0.4, 0.44), (0.3,), (0.6,)]
    trials = [
        Observation(number, plan, "", "stopped", 1.0, accuracies)
        for number, (plan, accuracies) in enumerate(zip(plans, seen, strict=True))
    ]
    # At equal cost by what is to be expected of the last rung: 0.65, 0.44 + 0.05, 0.3 + 0.07 + 0.05, 0.6 + 0.07 + 0.05.
    measured = Reader(wanted, Coding(wanted.space)).measured(trials)
    assert measured.nearest().tolist() == [3, 0, 1, 2]
    np.testing.assert_allclose(measured.last[:, 0], [0.65, 0.44, 0.3, 0.6])
    assert measured.at(1).tolist() == [0, 1]


def test_running_trials_count_with_what_is_expected_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "EVEN_SHARES", (0.1,))  # else one more trial changes the proposer
    wanted = task("blocks", num_blocks=6)
    plans = list(wanted.space.neighbors(Plan.dense(6)))
    trials = [*observed([Plan.dense(6), *plans])]
    running = Observation(99, Plan.parse("bb...."), "", "running", flops_ratio(Plan.parse("bb....")))
    alone, together = learned(wanted, trials), learned(wanted, [*trials, running])
    assert len(together.front.heights) == len(alone.front.heights) + 1
    at = Coding(wanted.space).bits(Coding(wanted.space).encode([running.plan]))
    before, after = (known.fidelities.of(at).if_judged() for known in (alone, together))
    assert after.deviation < 0.8 * before.deviation
    assert together.front.at(np.array([running.flops_ratio])) == pytest.approx(before.mean)


def test_costs_of_children_are_the_costs_of_their_plans() -> None:
    """Also where the plan that changes nothing does not cost 1, as in a part of a model."""
    part = replace(task("layers", num_blocks=5), flops_ratio=lambda plan: 0.7 * flops_ratio(plan) - 0.05)
    asked, rng = Guided(part), np.random.default_rng(0)
    plans = [part.space.sample(rng) for _ in range(30)]
    costs = asked.costs(Coding(part.space).encode(plans))
    np.testing.assert_allclose(costs, [part.flops_ratio(plan) for plan in plans], rtol=1e-9)


@pytest.mark.slow
def test_what_saves_nothing_is_not_searched() -> None:
    wanted = task("layers", budget=60)
    searched = [proposal for proposal in search(wanted, "guided") if not proposal.origin.startswith("baseline")]
    assert len(searched) > 20
    assert not any(Op.PARALLEL in proposal.plan.ops for proposal in searched)


def learned(wanted: Task, trials: list[Observation]) -> Learned:
    coding = Coding(wanted.space)
    known = Learner(wanted, coding, Reader(wanted, coding)).learn(trials)
    assert known is not None
    return known
