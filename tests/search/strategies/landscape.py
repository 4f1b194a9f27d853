"""A search on a closed-form landscape, without model or database: for tests of strategies."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.strategies.replay import Recorded
from objectives.flops import costs
from objectives.workload import Workload
from search.loop.proposer import Proposer
from search.strategies import load_strategy
from search.strategies.strategy import Observation, Proposal, Strategy, Task
from spaces.constraints import Limit
from spaces.plan import Op, Plan
from spaces.spaces import load_space
from tests.search.pretend import SHAPE

WORKLOAD = Workload(visual_tokens=4, text_tokens=8, generated_tokens=2)
LOSS = {Op.KEEP: 0.0, Op.SKIP_ATTN: 0.4, Op.SKIP_FFN: 0.6, Op.SKIP_BLOCK: 1.0, Op.PARALLEL: 0.1}


def flops_ratio(plan: Plan) -> float:
    """Of a small model as deep as the plan."""
    return costs(replace(SHAPE, num_blocks=len(plan)), plan, WORKLOAD).flops_ratio


def task(space: str = "blocks", num_blocks: int = 12, budget: int = 40, seed: int = 0, max_flops: float = 1.0) -> Task:
    limits = (Limit("--max-flops", max_flops, flops_ratio, of_cost=True),) if max_flops < 1 else ()
    return Task(load_space(space, num_blocks), budget, flops_ratio, limits, seed)


def additive_accuracy(plan: Plan) -> float:
    """Every block has its weight, without interactions."""
    weights = np.random.default_rng(3).dirichlet(np.full(len(plan), 0.5))
    return float(1.0 - sum(weight * LOSS[op] for weight, op in zip(weights, plan.ops, strict=True)))


def search(
    wanted: Task,
    strategy: str | Callable[[], Strategy],
    accuracy: Callable[[Plan], float] = additive_accuracy,
    workers: int = 1,
) -> list[Proposal]:
    """Return the proposals of a whole search; a callable makes a fresh strategy before every proposal."""
    made = load_strategy(strategy, wanted) if isinstance(strategy, str) else None
    recorded = Recorded()
    proposals: list[Proposal] = []
    for number in range(wanted.budget):
        proposal = Proposer(made or strategy(), wanted).next(recorded)  # type: ignore[operator]
        if proposal is None:
            break
        proposals.append(proposal)
        recorded.add(Observation(number, proposal.plan, proposal.origin, "running", flops_ratio(proposal.plan)))
        if number + 1 >= workers:
            _finish(recorded, number + 1 - workers, accuracy)
    return proposals


def _finish(recorded: Recorded, number: int, accuracy: Callable[[Plan], float]) -> None:
    running = recorded.trials[number]
    value = accuracy(running.plan)
    recorded.trials[number] = replace(running, state="complete", accuracies=(value,), full=True)


def observed(plans: Sequence[Plan], accuracy: Callable[[Plan], float] = additive_accuracy) -> list[Observation]:
    """Complete trials of these plans."""
    return [
        Observation(number, plan, "test", "complete", flops_ratio(plan), (accuracy(plan),), True)
        for number, plan in enumerate(plans)
    ]
