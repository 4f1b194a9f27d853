"""Trials as arrays: what they do, what they cost, and what they scored at every rung."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from objectives.pareto import sort_fronts
from search.goals import MAXIMIZE
from search.strategies.answers import FEWEST, bent
from search.strategies.coding import CODE, Codes, Coding
from search.strategies.prior import Floats
from search.strategies.strategy import Observation, Task


@dataclass(frozen=True)
class Measured:
    """Trials that have finished a rung. N trials, L blocks, F bits, S scores."""

    codes: Codes
    """(N, L)."""
    bits: Floats
    """(N, F)."""
    costs: Floats
    """(N,) FLOPs ratios."""
    scores: Floats
    """(N, S) accuracies at the rungs, NaN where a trial has not finished them. Before them the share of
    margins above 0, where trials are enough and all have them."""
    num_signals: int
    """How many of the scores come before the accuracies: 0 or 1."""
    margins: Floats
    """(N, Q) of the right answers to Q questions at the cheapest rung, `bent`; Q is 0 where trials are few, or one has
    none."""
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
        arrays = {name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, **arrays)

    @property
    def num_scores(self) -> int:
        return self.scores.shape[1]

    @property
    def last(self) -> Floats:
        """(N, 2) accuracy at the last rung that each trial finished, and FLOPs ratio."""
        reached = np.isfinite(self.scores).sum(1) - 1
        return np.stack([self.scores[np.arange(len(self)), reached], self.costs], axis=1)

    def at(self, place: int) -> np.ndarray:
        """Rows of the trials that have a score, by number."""
        return np.flatnonzero(np.isfinite(self.scores[:, place]))

    def repeats(self, place: int) -> bool:
        """Whether a score is the share of margins above 0, as the accuracy of greedy answers is where all are asked."""
        return place == self.num_signals == 1 and np.array_equal(self.scores[:, 0], self.scores[:, 1])

    def points(self, place: int) -> Floats:
        """(K, 2) score and FLOPs ratio of the trials that have it."""
        rows = self.at(place)
        return np.stack([self.scores[rows, place], self.costs[rows]], axis=1)

    def nearest(self) -> np.ndarray:
        """All rows: those that keep the limits first, then from the front backwards.

        A trial that was stopped counts with what the rungs that it lacks add on average.
        """
        points, reached = self.last, np.isfinite(self.scores).sum(1)
        for place in range(self.num_signals + 1, self.num_scores):
            rows = self.at(place)
            points[reached <= place, 0] += (self.scores[rows, place] - self.scores[rows, place - 1]).mean()
        return np.lexsort((sort_fronts(points, MAXIMIZE), ~self.feasible))


class Reader:
    """Reads the history; what was made of a plan is kept, as a search asks for it again and again."""

    def __init__(self, task: Task, coding: Coding) -> None:
        self._task, self._coding = task, coding
        self._rows: dict[int, tuple[np.ndarray, bool, int]] = {}
        """By number: code, whether the plan keeps the limits, blocks that it changes."""
        self._margins: dict[int, tuple[Floats, float]] = {}
        """By number: margins, `bent`, and the share above 0, of trials that have some."""

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
        num_signals = int(len(trials) >= FEWEST and all(trial.margins is not None for trial in trials))
        return Measured(
            codes=codes,
            bits=self._coding.bits(codes),
            costs=np.array([trial.flops_ratio for trial in trials]),
            scores=self.scores(trials, num_signals, num_signals + num_rungs),
            num_signals=num_signals,
            margins=np.stack([self._told(t)[0] for t in trials]) if num_signals else np.empty((len(trials), 0)),
            num_changed=np.array([self._rows[trial.number][2] for trial in trials], dtype=int),
            feasible=np.array([self._rows[trial.number][1] for trial in trials], dtype=bool),
            full=np.array([trial.full for trial in trials], dtype=bool),
            stopped=np.array([trial.state == "pruned" for trial in trials], dtype=bool),
            numbers=np.array([trial.number for trial in trials], dtype=int),
        )

    def scores(self, trials: Sequence[Observation], num_signals: int, num_scores: int) -> Floats:
        """(N, S) scores, see `Measured`, of trials that may not have finished a rung."""
        rows = np.full((len(trials), num_scores), np.nan)
        for row, trial in zip(rows, trials, strict=True):
            known = trial.accuracies[: num_scores - num_signals]
            row[num_signals : num_signals + len(known)] = known
        measured = np.array([bool(trial.accuracies) for trial in trials], dtype=bool)
        if num_signals:
            rows[measured, 0] = [self._told(trial)[1] for trial in trials if trial.accuracies]
        return rows

    def _told(self, trial: Observation) -> tuple[Floats, float]:
        """(Q,) margins of a trial that has some, and the share above 0."""
        if trial.number not in self._margins:
            margins = np.array(trial.margins)
            self._margins[trial.number] = bent(margins), float((margins > 0).mean())
        return self._margins[trial.number]
