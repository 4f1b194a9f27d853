"""Trials as arrays: what they do, what they cost, and what they scored at every rung."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from objectives.pareto import sort_fronts
from search.goals import MAXIMIZE
from search.strategies.coding import CODE, Codes, Coding
from search.strategies.prior import Floats
from search.strategies.strategy import Observation, Task


@dataclass(frozen=True)
class Measured:
    """Trials that have finished a rung. N trials, L blocks, F bits, R rungs."""

    codes: Codes
    """(N, L)."""
    bits: Floats
    """(N, F)."""
    costs: Floats
    """(N,) FLOPs ratios."""
    accuracies: Floats
    """(N, R), NaN at rungs a trial has not finished."""
    num_changed: np.ndarray
    """(N,) blocks that are not kept."""
    feasible: np.ndarray
    """(N,) bool, whether the plan keeps the limits."""
    full: np.ndarray
    """(N,) bool, whether the trial may enter the front."""
    stopped: np.ndarray
    """(N,) bool, whether the trial was ended below the last rung."""
    numbers: np.ndarray
    """(N,) of the trials."""

    def __len__(self) -> int:
        return len(self.costs)

    def take(self, rows: np.ndarray) -> "Measured":
        """Some of the trials, in this order."""
        return Measured(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @property
    def num_rungs(self) -> int:
        return self.accuracies.shape[1]

    @property
    def last(self) -> Floats:
        """(N, 2) accuracy at the last rung that each trial finished, and FLOPs ratio."""
        reached = np.isfinite(self.accuracies).sum(1) - 1
        return np.stack([self.accuracies[np.arange(len(self)), reached], self.costs], axis=1)

    def at(self, rung: int) -> np.ndarray:
        """Rows of the trials that have finished a rung, by number."""
        return np.flatnonzero(np.isfinite(self.accuracies[:, rung]))

    def points(self, rung: int) -> Floats:
        """(K, 2) accuracy at a rung and FLOPs ratio of the trials that have finished it."""
        rows = self.at(rung)
        return np.stack([self.accuracies[rows, rung], self.costs[rows]], axis=1)

    def nearest(self) -> np.ndarray:
        """All rows: those that keep the limits first, then from the front backwards.

        A trial that was stopped counts with what the rungs that it lacks add on average.
        """
        points, reached = self.last, np.isfinite(self.accuracies).sum(1)
        for rung in range(1, self.num_rungs):
            rows = self.at(rung)
            points[reached <= rung, 0] += (self.accuracies[rows, rung] - self.accuracies[rows, rung - 1]).mean()
        return np.lexsort((sort_fronts(points, MAXIMIZE), ~self.feasible))


class Reader:
    """Reads the history; what was made of a plan is kept, as a search asks for it again and again."""

    def __init__(self, task: Task, coding: Coding) -> None:
        self._task, self._coding = task, coding
        self._rows: dict[int, tuple[np.ndarray, bool, int]] = {}
        """By number: code, whether the plan keeps the limits, blocks that it changes."""

    def codes(self, trials: Sequence[Observation]) -> Codes:
        """(N, L), in the order of the trials."""
        for trial in trials:
            if trial.number not in self._rows:
                code = self._coding.encode([trial.plan])[0]
                self._rows[trial.number] = (code, self._task.feasible(trial.plan), trial.plan.num_changed)
        rows = [self._rows[trial.number][0] for trial in trials]
        return np.array(rows, dtype=CODE).reshape(-1, len(self._coding.choices))

    def measured(self, history: Sequence[Observation]) -> Measured:
        """Those that have finished a rung."""
        trials = [trial for trial in history if trial.accuracies]
        codes = self.codes(trials)
        num_rungs = max((len(trial.accuracies) for trial in trials), default=1)
        return Measured(
            codes=codes,
            bits=self._coding.bits(codes),
            costs=np.array([trial.flops_ratio for trial in trials]),
            accuracies=at_rungs(trials, num_rungs),
            num_changed=np.array([self._rows[trial.number][2] for trial in trials], dtype=int),
            feasible=np.array([self._rows[trial.number][1] for trial in trials], dtype=bool),
            full=np.array([trial.full for trial in trials], dtype=bool),
            stopped=np.array([trial.state == "pruned" for trial in trials], dtype=bool),
            numbers=np.array([trial.number for trial in trials], dtype=int),
        )


def at_rungs(trials: Sequence[Observation], num_rungs: int) -> Floats:
    """(N, R) accuracies, NaN at rungs a trial has not finished."""
    missing = (np.nan,) * num_rungs
    return np.array([(*trial.accuracies, *missing)[:num_rungs] for trial in trials]).reshape(-1, num_rungs)
