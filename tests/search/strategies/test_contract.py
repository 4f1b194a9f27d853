"""The contract of every strategy."""

from dataclasses import replace

import pytest

from objectives.hypervolume import hypervolume
from objectives.objectives import MAXIMIZE, REFERENCE
from search.strategies import STRATEGIES, load_strategy
from spaces.constraints import Limit
from tests.fast import but_slow
from tests.search.strategies.landscape import additive_accuracy, flops_ratio, search, task

OWN = tuple(name for name in STRATEGIES if name not in ("tpe", "nsga2", "gp"))
CASES = [(name, space) for name in STRATEGIES for space in ("blocks", "layers", "interval") if name != "gp"]
CASES = [
    case for case in CASES if case[1] != "interval" or case[0] in ("random", "evolution", "guided", "tpe", "greedy")
]
BUDGET = {"blocks": 40, "layers": 40, "interval": 24}
"""Trials per space; plans of `interval` are made one by one."""
QUICK = [(name, "blocks") for name in STRATEGIES if name != "gp"] + [("random", "layers"), ("random", "interval")]
"""The fast run has every strategy on the smallest space, and every space under one strategy."""
NAMES = [name for name in STRATEGIES if name != "gp"]


@pytest.mark.parametrize(("name", "space"), but_slow(CASES, QUICK))
def test_plans_lie_in_the_space_and_none_comes_twice(name: str, space: str) -> None:
    wanted = task(space, budget=BUDGET[space])
    plans = [proposal.plan for proposal in search(wanted, name)]
    assert len(plans) == wanted.budget
    assert len(set(plans)) == wanted.budget
    assert all(plan in wanted.space for plan in plans)


@pytest.mark.parametrize(
    ("name", "space"),
    but_slow([case for case in CASES if case[0] in OWN], [case for case in QUICK if case[0] in OWN]),
)
def test_parallel_workers_get_different_plans(name: str, space: str) -> None:
    plans = [proposal.plan for proposal in search(task(space, budget=BUDGET[space]), name, workers=4)]
    assert len(set(plans)) == BUDGET[space]


@pytest.mark.parametrize("name", but_slow(NAMES, ["random"]))
def test_the_seed_decides(name: str) -> None:
    first, again, other = (search(task("layers", seed=seed), name) for seed in (0, 0, 1))
    assert first == again
    if name not in ("greedy", "one-shot", "interval-grid"):
        assert first != other


@pytest.mark.parametrize("name", but_slow(OWN, ["random"]))
def test_nothing_is_remembered_but_the_history(name: str) -> None:
    wanted = task("layers")
    assert search(wanted, lambda: load_strategy(name, wanted)) == search(wanted, name)


@pytest.mark.parametrize("name", but_slow(NAMES, ["random", "guided"]))
@pytest.mark.parametrize("space", but_slow(["blocks", "layers"], ["blocks"]))
def test_only_probes_and_the_dense_plan_break_a_limit(name: str, space: str) -> None:
    wanted = task(space, max_flops=0.6)
    proposals = search(wanted, name)
    assert all(proposal.probe or wanted.feasible(proposal.plan) for proposal in proposals[1:])
    if name != "greedy":  # it tries many plans that break the limit first
        assert any(not proposal.probe for proposal in proposals[-5:])


@pytest.mark.slow
def test_gp_proposes_new_plans_of_the_space() -> None:
    wanted = task("blocks", budget=14)
    plans = [proposal.plan for proposal in search(wanted, "gp")]
    assert len(set(plans)) == 14
    assert all(plan in wanted.space for plan in plans)


@pytest.mark.parametrize("name", but_slow(["guided", "additive", "one-shot"], ["additive"]))
def test_where_losses_add_up_the_front_is_found_soon(name: str) -> None:
    wanted = task("blocks", budget=40)
    exact = [(additive_accuracy(plan), flops_ratio(plan)) for plan in wanted.space.enumerate()]
    found = [(additive_accuracy(p.plan), flops_ratio(p.plan)) for p in search(wanted, name)]
    best = hypervolume(exact, REFERENCE, MAXIMIZE)
    assert hypervolume(found, REFERENCE, MAXIMIZE) == pytest.approx(best, rel=0.003)
    drawn = [(additive_accuracy(p.plan), flops_ratio(p.plan)) for p in search(wanted, "random")]
    assert hypervolume(drawn, REFERENCE, MAXIMIZE) < 0.97 * best


def test_greedy_takes_the_path_of_least_loss() -> None:
    plans = [proposal.plan for proposal in search(task("blocks", num_blocks=6, budget=30), "greedy")]
    by_size = {size: [plan for plan in plans if plan.num_changed == size] for size in range(1, 7)}
    for size in range(1, 6):
        best = max(by_size[size], key=additive_accuracy)
        further = [best.replace(block, "skip_block") for block, op in enumerate(best.ops) if op == "keep"]
        assert set(further) <= set(by_size[size + 1])


@pytest.mark.parametrize("name", ["evolution", "guided", "tpe", "nsga2", "random"])
@pytest.mark.parametrize("space", but_slow(["scoped", "full"], ["scoped"]))
def test_rich_spaces_are_searched(name: str, space: str) -> None:
    wanted = task(space, num_blocks=4, budget=16, max_flops=0.7)
    proposals = search(wanted, name)
    plans = {proposal.plan for proposal in proposals}
    assert len(plans) == wanted.budget and all(plan in wanted.space for plan in plans)
    assert all(proposal.probe or wanted.feasible(proposal.plan) for proposal in proposals[1:])
    if space == "full":
        assert any(block.pruning for plan in plans for block in plan.blocks)


@pytest.mark.parametrize("name", ["greedy", "one-shot", "additive", "evopress", "bandit", "interval-grid"])
@pytest.mark.parametrize("space", ["scoped", "full"])
def test_the_papers_algorithms_refuse_rich_spaces(name: str, space: str) -> None:
    with pytest.raises(ValueError, match=rf"needs a space without scopes, pairs and pruning, got '{space}': use --sp"):
        load_strategy(name, task(space))


@pytest.mark.parametrize("name", ["additive", "evopress"])
def test_what_needs_independent_blocks_is_refused_elsewhere(name: str) -> None:
    with pytest.raises(ValueError, match=rf"strategy '{name}' needs a space whose blocks .* got 'interval': use"):
        load_strategy(name, task("interval"))


@pytest.mark.parametrize(
    ("name", "budget", "granted"),
    but_slow([("guided", 14, 2), ("guided", 60, 3), ("random", 60, 15)], [("guided", 14, 2)]),
)
def test_a_strategy_starts_after_as_many_hand_made_patterns_as_it_grants(name: str, budget: int, granted: int) -> None:
    proposals = search(task("layers", budget=budget), name)
    baselines = [number for number, proposal in enumerate(proposals) if proposal.origin.startswith("baseline")]
    assert baselines == list(range(granted)), "they come first, dense among them"
    assert len({flops_ratio(proposals[number].plan) for number in baselines}) > len(baselines) / 2, "of all sizes"


@pytest.mark.parametrize("name", but_slow(NAMES, ["additive"]))
@pytest.mark.parametrize("bound", [0.05, 0.0])
def test_a_limit_in_other_units_that_all_plans_keep_changes_nothing(name: str, bound: float) -> None:
    wanted = task("layers", budget=24)
    limit = Limit("--max-latency", bound, lambda plan: bound * flops_ratio(plan))
    assert search(replace(wanted, limits=(limit,)), name) == search(wanted, name)
