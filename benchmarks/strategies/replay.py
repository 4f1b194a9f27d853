"""Runs a strategy against a table of truth: the search's rules for proposals and rungs, no model and no database."""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from benchmarks.truth.table import Table
from objectives.hypervolume import hypervolume
from objectives.objectives import MAXIMIZE, REFERENCE
from objectives.pareto import non_dominated
from search.loop.proposer import Proposer
from search.settings import Settings
from search.strategies import load_strategy
from search.strategies.promotion import goes_on
from search.strategies.strategy import Observation, Proposal, Signal, Task
from spaces.plan import Plan

KEEP = Settings().keep_fraction
"""Share of the trials at a rung that may go on, as in a search by default."""


@dataclass
class Recorded:
    """What `search.loop.history.History` is to a search: all trials so far."""

    trials: list[Observation] = field(default_factory=list)
    plans: set[Plan] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.trials)

    def __contains__(self, plan: Plan) -> bool:
        return plan in self.plans

    def observations(self) -> Sequence[Observation]:
        """By number; of trials of the same plan the last alone, which has the rungs of those before."""
        if len(self.plans) == len(self.trials):
            return self.trials
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
    went_on_from: tuple[int, ...]
    """How many of its rungs another trial had finished, which it took up; 0 for a trial of its own."""
    origins: tuple[str, ...]
    seconds: tuple[float, ...]
    """What the strategy took for every proposal."""

    def counted(self, trials: int | None = None) -> list[int]:
        """Rows that finished the last rung, among the first so many trials."""
        return [row for row, full in zip(self.rows[:trials], self.full[:trials], strict=True) if full]

    def first(self, trials: int) -> "Run":
        """The same search, ended after so many trials."""
        per_trial = ("rows", "reached", "full", "went_on_from", "origins", "seconds")
        return replace(self, budget=trials, **{name: getattr(self, name)[:trials] for name in per_trial})


class Replays:
    """The searches of one strategy with one seed. Of those that are told different budgets and make nothing else of it
    than how they begin, those that begin alike are one search, replayed once and looked at after so many trials."""

    def __init__(self, table: Table, strategy: str, seed: int) -> None:
        self._table, self._strategy, self._seed = table, strategy, seed
        self._longest: dict[Hashable, Run] = {}

    def told(self, budget: int, keep_fraction: float = KEEP) -> Run:
        """The search with this budget; ask for larger ones first."""
        task = _task(self._table, budget, self._seed, keep_fraction)
        key = keep_fraction, Proposer(load_strategy(self._strategy, task), task).beginning or budget
        if key not in self._longest or self._longest[key].budget < budget:
            self._longest[key] = replay(self._table, self._strategy, budget, self._seed, keep_fraction)
        return self._longest[key].first(budget)


def replay(table: Table, strategy: str, budget: int, seed: int, keep_fraction: float = KEEP) -> Run:
    """One search of `budget` trials. On a table of one rung a probe counts like any other plan."""
    task = _task(table, budget, seed, keep_fraction)
    asked = load_strategy(strategy, task)
    proposer, history = Proposer(asked, task), Recorded()
    climb = Climb(table, keep_fraction, seed, getattr(asked, "reads", frozenset()))
    rows, went_on_from, origins, seconds = [], [], [], []
    for number in range(budget):
        start = perf_counter()
        proposal = proposer.next(history)
        seconds.append(perf_counter() - start)
        if proposal is None:
            break
        known = () if proposal.resumes is None else history.trials[proposal.resumes].accuracies
        rows.append(table.row(proposal.plan))
        went_on_from.append(len(known))
        origins.append(proposal.origin)
        history.add(climb.run(number, proposal, known))
    return Run(
        strategy=strategy,
        seed=seed,
        budget=budget,
        rows=tuple(rows),
        reached=tuple(len(trial.accuracies) for trial in history.trials),
        full=tuple(trial.full for trial in history.trials),
        went_on_from=tuple(went_on_from),
        origins=tuple(origins),
        seconds=tuple(seconds),
    )


def _task(table: Table, budget: int, seed: int, keep_fraction: float) -> Task:
    return Task(
        space=table.landscape.searched,
        budget=budget,
        flops_ratio=table.cost,
        seed=seed,
        keep_fraction=keep_fraction,
    )


class Climb:
    """Lets trials climb the rungs of a table by the rules of `search.loop.controller`."""

    def __init__(self, table: Table, keep_fraction: float, seed: int, reads: Collection[Signal]) -> None:
        self._table, self._keep_fraction, self._seed, self._reads = table, keep_fraction, seed, reads
        self._peers: list[list[tuple[float, float]]] = [[] for _ in table.landscape.rungs]

    def run(self, number: int, proposal: Proposal, known: Sequence[float] = ()) -> Observation:
        """A trial as a strategy sees it once it has ended; one that takes up `known` rungs goes on to the last."""
        cost = self._table.cost(proposal.plan)
        accuracies = list(known)
        for rung, accuracy in enumerate(self._table.climb(self._table.row(proposal.plan))):
            if rung < len(known):
                continue
            accuracies.append(accuracy)
            if not self._may_go_on(rung, (accuracy, cost), proposal):
                break
        full = len(accuracies) == len(self._peers)
        return Observation(
            number=number,
            plan=proposal.plan,
            origin=proposal.origin,
            state="complete" if full else "stopped",
            flops_ratio=cost,
            accuracies=tuple(accuracies),
            # As in a search, only what is read: a table that grows measures it.
            margins=self._table.margins_of(self._table.row(proposal.plan)) if Signal.MARGINS in self._reads else None,
            importance=self._table.importance(self._seed)
            if Signal.IMPORTANCE in self._reads and proposal.plan.is_dense
            else None,
            full=full,
        )

    def _may_go_on(self, rung: int, point: tuple[float, float], proposal: Proposal) -> bool:
        """Notes what was measured at a rung and says whether the next one is run."""
        peers = list(self._peers[rung])
        self._peers[rung].append(point)
        if proposal.probe:
            return False
        spared = proposal.plan.is_dense or proposal.resumes is not None
        return spared or goes_on(peers, point, MAXIMIZE, self._keep_fraction)


def share(table: Table, rows: Sequence[int]) -> float:
    """Hypervolume of these plans on the search split as a share of that of the front of all rows."""
    return hypervolume(table.points("search", list(rows)), REFERENCE, MAXIMIZE) / table.volume() if rows else 0.0


def regret(table: Table, rows: Sequence[int]) -> float:
    """What is lost on the test split by the front found on the search split: the hypervolume there that it lacks of
    the exact front of the test split, as a share of that."""
    found = table.points("search", list(rows))
    chosen = np.asarray(rows)[non_dominated(found, MAXIMIZE)]
    return 1 - hypervolume(table.points("test", chosen), REFERENCE, MAXIMIZE) / table.volume("test")
