"""Runs a strategy against a table of truth: the search's own rules for proposals, without model or database."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from benchmarks.truth import Truth
from objectives.hypervolume import hypervolume
from objectives.pareto import non_dominated
from search.goals import MAXIMIZE, REFERENCE
from search.proposer import Proposer
from search.strategies import load_strategy
from search.strategies.strategy import Observation, Task
from spaces.plan import Plan


@dataclass
class Recorded:
    """What `search.history.History` is to a search: all trials so far."""

    trials: list[Observation] = field(default_factory=list)
    plans: set[Plan] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.trials)

    def __contains__(self, plan: Plan) -> bool:
        return plan in self.plans

    def observations(self) -> Sequence[Observation]:
        return self.trials

    def add(self, observation: Observation) -> None:
        self.trials.append(observation)
        self.plans.add(observation.plan)


@dataclass(frozen=True)
class Run:
    """One replayed search."""

    strategy: str
    seed: int
    budget: int
    rows: tuple[int, ...]
    """The plans tried, as rows of the table, in order; fewer than the budget where the space was used up."""
    origins: tuple[str, ...]
    seconds: tuple[float, ...]
    """What the strategy took for every proposal."""


def replay(truth: Truth, strategy: str, budget: int, seed: int) -> Run:
    """One search of `budget` trials. A probe counts like any other plan: here every evaluation has one fidelity."""
    accuracy, ratio = truth.accuracy("search"), truth.flops_ratio
    task = Task(
        space=truth.landscape.searched,
        budget=budget,
        flops_ratio=lambda plan: float(ratio[truth.index[plan]]),
        seed=seed,
    )
    proposer, history = Proposer(load_strategy(strategy, task), task), Recorded()
    rows, origins, seconds = [], [], []
    for number in range(budget):
        start = perf_counter()
        proposal = proposer.next(history)
        seconds.append(perf_counter() - start)
        if proposal is None:
            break
        row = truth.index[proposal.plan]
        rows.append(row)
        origins.append(proposal.origin)
        history.add(
            Observation(
                number=number,
                plan=proposal.plan,
                origin=proposal.origin,
                state="complete",
                flops_ratio=float(ratio[row]),
                accuracies=(float(accuracy[row]),),
                full=True,
            )
        )
    return Run(strategy, seed, budget, tuple(rows), tuple(origins), tuple(seconds))


def share(truth: Truth, rows: Sequence[int]) -> float:
    """Hypervolume of these plans on the search split as a share of the exact front's."""
    return hypervolume(truth.points("search")[list(rows)], REFERENCE, MAXIMIZE) / truth.volume()


def regret(truth: Truth, rows: Sequence[int]) -> float:
    """What is lost on the test split by the front found on the search split: the hypervolume there that it lacks of
    the exact front of the test split, as a share of that."""
    found = truth.points("search")[list(rows)]
    chosen = np.asarray(rows)[non_dominated(found, MAXIMIZE)]
    return 1 - hypervolume(truth.points("test")[chosen], REFERENCE, MAXIMIZE) / truth.volume("test")
