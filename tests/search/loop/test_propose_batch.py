"""Several proposals at once."""

import pytest

from benchmarks.strategies.replay import Recorded
from search.loop.propose_batch import ask
from search.loop.proposer import Proposer
from search.strategies import load_strategy
from search.strategies.strategy import Observation
from spaces.plan import Plan
from tests.search.strategies.landscape import flops_ratio, observed, task


@pytest.mark.parametrize("strategy", ["guided", "evolution", "random"])
def test_proposals_at_once_differ_and_begin_alike(strategy: str) -> None:
    wanted = task("blocks", budget=60)
    history = Recorded()
    for trial in observed([Plan.dense(12), *wanted.space.neighbors(Plan.dense(12))]):
        history.add(trial)

    def asked(count: int) -> list[Plan]:
        proposer = Proposer(load_strategy(strategy, wanted), wanted)
        return [proposal.plan for proposal in ask(proposer, history, count, flops_ratio)]

    eight = asked(8)
    assert len(set(eight)) == 8 and not any(plan in history for plan in eight)
    assert eight == asked(8)
    assert asked(3) == eight[:3]
    assert len(history) == 13, "nothing has started"


def test_a_stopped_trial_is_resumed_once() -> None:
    wanted = task("blocks", num_blocks=3, budget=9)
    history = Recorded()
    for number, plan in enumerate(wanted.space.enumerate()):
        history.add(Observation(number, plan, "", "stopped", flops_ratio(plan), (0.5,)))

    class Resuming:
        def ask(self, observations, rng):  # type: ignore[no-untyped-def]
            from search.strategies.strategy import Proposal

            stopped = next(trial for trial in observations if trial.state == "stopped")
            return Proposal(stopped.plan, "goes on", resumes=stopped.number)

    found = ask(Proposer(Resuming(), wanted), history, 4, flops_ratio)
    assert [proposal.resumes for proposal in found] == [0, 1, 2, 3]
