"""Replay of a strategy on a measured table, with the search's rules for proposals and rungs, without a model."""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from benchmarks.truth.table import Table
from objectives.dominance import non_dominated
from objectives.hypervolume import hypervolume
from objectives.objectives import MAXIMIZE, REFERENCE
from search.loop.proposer import Proposer
from search.settings import Settings
from search.strategies import load_strategy
from search.strategies.promotion import goes_on
from search.strategies.strategy import Focus, Observation, Proposal, Signal, Task
from spaces.plan import Plan

KEEP = Settings().keep_fraction
"""Share of the trials at a rung that are promoted, as in a search by default."""


@dataclass
class Recorded:
    """All trials so far, with the interface of `search.loop.history.History`."""

    trials: list[Observation] = field(default_factory=list)
    plans: set[Plan] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.trials)

    def __contains__(self, plan: Plan) -> bool:
        return plan in self.plans

    def observations(self) -> Sequence[Observation]:
        """Return the trials by number, and of several with the same plan only the last.

        The last one includes the rungs of those before it.
        """
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
    """The tried plans as rows of the table, in order; fewer than the budget if the space was exhausted."""
    reached: tuple[int, ...]
    """Number of rungs that each trial finished."""
    full: tuple[bool, ...]
    """True if a trial finished the last rung; only then its plan counts."""
    went_on_from: tuple[int, ...]
    """Number of rungs that another trial had finished and this one continued; 0 for a new trial."""
    origins: tuple[str, ...]
    seconds: tuple[float, ...]
    """Seconds per proposal."""

    def counted(self, trials: int | None = None) -> list[int]:
        """Return the rows that finished the last rung, among the first `trials` trials, or all."""
        return [row for row, full in zip(self.rows[:trials], self.full[:trials], strict=True) if full]

    def first(self, trials: int) -> "Run":
        """Return the same search, ended after `trials` trials."""
        per_trial = ("rows", "reached", "full", "went_on_from", "origins", "seconds")
        return replace(self, budget=trials, **{name: getattr(self, name)[:trials] for name in per_trial})


class Replays:
    """The searches of one strategy with one seed.

    If a strategy uses the budget only for its first proposals, searches with the same first proposals are replayed
    once, and each budget is the beginning of that search.
    """

    def __init__(self, table: Table, strategy: str, seed: int) -> None:
        self._table, self._strategy, self._seed = table, strategy, seed
        self._longest: dict[Hashable, Run] = {}

    def with_budget(self, budget: int, keep_fraction: float = KEEP) -> Run:
        """Return the search with this budget; request larger budgets first, which smaller ones reuse."""
        task = _task(self._table, budget, self._seed, keep_fraction)
        key = keep_fraction, Proposer(load_strategy(self._strategy, task), task).beginning or budget
        if key not in self._longest or self._longest[key].budget < budget:
            self._longest[key] = replay(self._table, self._strategy, budget, self._seed, keep_fraction)
        return self._longest[key].first(budget)


def replay(table: Table, strategy: str, budget: int, seed: int, keep_fraction: float = KEEP) -> Run:
    """Return one search of `budget` trials. On a table with one rung, a probe counts like any other plan."""
    task = _task(table, budget, seed, keep_fraction)
    proposing = load_strategy(strategy, task)
    proposer, history = Proposer(proposing, task), Recorded()
    climb = Climb(table, keep_fraction, seed, getattr(proposing, "reads", frozenset()))
    rows, went_on_from, origins, seconds = [], [], [], []
    for number in range(budget):
        start = perf_counter()
        proposal = proposer.next(history)
        seconds.append(perf_counter() - start)
        if proposal is None:
            break
        plan = table.nearest(proposal.plan, history.plans)
        if plan is None:
            break
        proposal = replace(proposal, plan=plan)
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
        focus=Focus(min_accuracy=table.landscape.min_accuracy),
    )


class Climb:
    """Promotes trials through the rungs of a table by the rules of `search.loop.controller`."""

    def __init__(self, table: Table, keep_fraction: float, seed: int, reads: Collection[Signal]) -> None:
        self._table, self._keep_fraction, self._seed, self._reads = table, keep_fraction, seed, reads
        self.peers: list[list[tuple[float, float]]] = [[] for _ in table.landscape.rungs]
        """Rung -> accuracies and FLOPs ratios with which later trials are compared."""

    def run(self, number: int, proposal: Proposal, known: Sequence[float] = ()) -> Observation:
        """Run a trial and return it as a strategy reads it.

        Args:
            number: number of the trial.
            proposal: the plan and its kind.
            known: accuracies at the rungs of a stopped trial that this one continues; it then runs to the last rung.
        """
        cost = self._table.cost(proposal.plan)
        accuracies = list(known)
        for rung, accuracy in enumerate(self._table.climb(self._table.row(proposal.plan))):
            if rung < len(known):
                continue
            accuracies.append(accuracy)
            if not self._may_go_on(rung, (accuracy, cost), proposal):
                break
        full = len(accuracies) == len(self.peers)
        return Observation(
            number=number,
            plan=proposal.plan,
            origin=proposal.origin,
            state="complete" if full else "stopped",
            flops_ratio=cost,
            accuracies=tuple(accuracies),
            # As in a search, only signals that are read, because a growing table has to measure them.
            margins=self._table.margins_of(self._table.row(proposal.plan)) if Signal.MARGINS in self._reads else None,
            importance=self._table.importance(self._seed)
            if Signal.IMPORTANCE in self._reads and proposal.plan.is_dense
            else None,
            full=full,
        )

    def _may_go_on(self, rung: int, point: tuple[float, float], proposal: Proposal) -> bool:
        """Record the result of a rung and return True if the next one runs."""
        peers = list(self.peers[rung])
        self.peers[rung].append(point)
        if proposal.probe:
            return False
        spared = proposal.plan.is_dense or proposal.resumes is not None
        return spared or goes_on(peers, point, MAXIMIZE, self._keep_fraction)


def share(table: Table, rows: Sequence[int]) -> float:
    """Return the hypervolume of these plans on the search split, relative to that of the front of all rows."""
    return table.share(rows)


def regret(table: Table, rows: Sequence[int]) -> float:
    """Return the relative loss of hypervolume on the test split by the front found on the search split.

    It is relative to the hypervolume of the exact front of the test split.
    """
    found = table.points("search", list(rows))
    chosen = np.asarray(rows)[non_dominated(found, MAXIMIZE)]
    return 1 - hypervolume(table.points("test", chosen), REFERENCE, MAXIMIZE) / table.volume("test")
