"""Runs a strategy against a table of truth: the search's rules for proposals and rungs, no model and no database."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from benchmarks.rung_truth import work
from benchmarks.truth import Truth
from objectives.hypervolume import hypervolume
from objectives.pareto import non_dominated
from search.goals import MAXIMIZE, REFERENCE
from search.promotion import goes_on
from search.proposer import Proposer
from search.settings import Settings
from search.strategies import load_strategy
from search.strategies.strategy import Observation, Proposal, Task
from spaces.plan import Plan

KEEP = Settings().keep_fraction
"""Share of the trials at a rung that may go on, as in a search by default."""


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
        latest = {trial.plan: trial for trial in self.trials}
        return sorted(latest.values(), key=lambda trial: trial.number)

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
    reached: tuple[int, ...]
    """How many rungs each trial finished."""
    full: tuple[bool, ...]
    """Whether it finished the last one: only then its plan counts."""
    origins: tuple[str, ...]
    seconds: tuple[float, ...]
    """What the strategy took for every proposal."""

    def counted(self, trials: int | None = None) -> list[int]:
        """Rows that finished the last rung, among the first so many trials."""
        return [row for row, full in zip(self.rows[:trials], self.full[:trials], strict=True) if full]


def replay(truth: Truth, strategy: str, budget: int, seed: int, keep_fraction: float = KEEP) -> Run:
    """One search of `budget` trials. On a table of one rung a probe counts like any other plan."""
    ratio = truth.flops_ratio
    task = Task(
        space=truth.landscape.searched,
        budget=budget,
        flops_ratio=lambda plan: float(ratio[truth.index[plan]]),
        seed=seed,
        keep_fraction=keep_fraction,
    )
    proposer, history = Proposer(load_strategy(strategy, task), task), Recorded()
    climb = Climb(truth, keep_fraction)
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
        history.add(climb.run(number, row, proposal))
    trials = history.trials
    reached = tuple(len(trial.accuracies) for trial in trials)
    full = tuple(trial.full for trial in trials)
    return Run(strategy, seed, budget, tuple(rows), reached, full, tuple(origins), tuple(seconds))


class Climb:
    """Lets trials climb the rungs of a table by the rules of `search.controller`."""

    def __init__(self, truth: Truth, keep_fraction: float) -> None:
        self._truth, self._keep_fraction = truth, keep_fraction
        self._peers: list[list[tuple[float, float]]] = [[] for _ in range(truth.rungs.shape[1])]

    def run(self, number: int, row: int, proposal: Proposal) -> Observation:
        """The trial of a plan, as a strategy sees it once it has ended."""
        cost, accuracies = float(self._truth.flops_ratio[row]), []
        for rung, accuracy in enumerate(map(float, self._truth.rungs[row])):
            peers = list(self._peers[rung])
            self._peers[rung].append((accuracy, cost))
            accuracies.append(accuracy)
            if proposal.probe:
                break
            if (
                proposal.resumes is None
                and not proposal.plan.is_dense
                and not goes_on(peers, (accuracy, cost), MAXIMIZE, self._keep_fraction)
            ):
                break
        full = len(accuracies) == len(self._peers)
        return Observation(
            number=number,
            plan=proposal.plan,
            origin=proposal.origin,
            state="complete" if full else "pruned",
            flops_ratio=cost,
            accuracies=tuple(accuracies),
            full=full,
        )


def compute(truth: Truth, run: Run) -> float:
    """What a run's trials cost, in questions answered by the dense plan of the table; tuning by the passes it takes."""
    spent = np.concatenate([[0.0], np.cumsum(work(truth.landscape.rungs))])
    relative = truth.flops_ratio / truth.flops_ratio.max()
    return float(sum(spent[reached] * relative[row] for row, reached in zip(run.rows, run.reached, strict=True)))


def share(truth: Truth, rows: Sequence[int]) -> float:
    """Hypervolume of these plans on the search split as a share of the exact front's."""
    if not rows:
        return 0.0
    return hypervolume(truth.points("search")[list(rows)], REFERENCE, MAXIMIZE) / truth.volume()


def regret(truth: Truth, rows: Sequence[int]) -> float:
    """What is lost on the test split by the front found on the search split: the hypervolume there that it lacks of
    the exact front of the test split, as a share of that."""
    found = truth.points("search")[list(rows)]
    chosen = np.asarray(rows)[non_dominated(found, MAXIMIZE)]
    return 1 - hypervolume(truth.points("test")[chosen], REFERENCE, MAXIMIZE) / truth.volume("test")
