"""No strategy tries a plan that contains one measured at or under the floor."""

from dataclasses import replace

import pytest

from search.loop.proposer import Proposer
from search.strategies import STRATEGIES, load_strategy
from search.strategies.below_floor import BelowFloor
from search.strategies.optuna_samplers import SHORTFALL
from search.strategies.strategy import Focus, Observation
from spaces.plan import Plan
from tests.fast import but_slow
from tests.search.strategies.landscape import Recorded, additive_accuracy, flops_ratio, task

FLOOR = 0.7
SEEN = Observation(1, Plan.parse(".a.f.."), "x", "complete", 0.8, (0.5,), full=True)


@pytest.mark.parametrize(
    ("text", "hopeless"),
    [(".a.f..", True), (".a.fb.", True), (".b.b..", True), (".avf..", False), ("ba....", False), (".f.a..", False)],
)
def test_a_plan_that_contains_one_below_the_floor_is_hopeless(text, hopeless):
    assert BelowFloor([SEEN], Focus(min_accuracy=0.6)).holds(Plan.parse(text)) == hopeless
    assert not BelowFloor([SEEN], Focus(min_accuracy=0.5)).holds(Plan.parse(text))
    assert not BelowFloor([replace(SEEN, full=False)], Focus(min_accuracy=0.6)).holds(Plan.parse(text))


def history_of(name, floor, budget=40):
    """All trials of a search whose dense trial measures a floor."""
    wanted = task("blocks", budget=budget)
    strategy, recorded = load_strategy(name, wanted), Recorded()
    for number in range(budget):
        proposal = Proposer(strategy, wanted).next(recorded)
        if proposal is None:
            break
        accuracy, plan = additive_accuracy(proposal.plan), proposal.plan
        measured = floor if plan.is_dense else None
        recorded.add(Observation(number, plan, proposal.origin, "complete", flops_ratio(plan), (accuracy,), True))
        recorded.trials[-1] = replace(recorded.trials[-1], floor=measured)
    return strategy, recorded.observations()


@pytest.mark.parametrize(
    "name", but_slow([name for name in STRATEGIES if name not in ("gp", "guided", "evolution")], ["random", "tpe"])
)
def test_fewer_trials_are_below_the_floor_once_it_is_known(name):
    below = []
    for floor in (None, FLOOR):
        _, history = history_of(name, floor)
        tried = [o for o in history[12:] if not o.origin.startswith("baseline")]
        below.append(sum(o.accuracy <= FLOOR for o in tried))
    assert below[1] < below[0] or below[0] == 0


def test_samplers_of_optuna_are_given_the_shortfall_as_their_constraint():
    strategy, _ = history_of("tpe", FLOOR, budget=14)
    told = [trial for trial in strategy.trials if SHORTFALL in trial.constraints]
    assert len(told) == 13
    assert all((trial.constraints[SHORTFALL] > 0) == (trial.values[0] <= FLOOR) for trial in told)
