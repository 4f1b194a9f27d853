"""Trials as arrays: what they do, what they cost, and what they scored at every rung."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from objectives.dominance import sort_fronts
from objectives.objectives import MAXIMIZE
from search.strategies.guided.answers import FEWEST, bent
from search.strategies.guided.prior import Floats
from search.strategies.plan_bits import CODE, Codes, Coding
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
        """Return some of the trials, in the given order."""
        arrays = {name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, **arrays)

    @property
    def num_scores(self) -> int:
        count: int = self.scores.shape[1]
        return count

    @property
    def last(self) -> Floats:
        """Return (N, 2) accuracy at the last rung that each trial finished, and FLOPs ratio."""
        reached = np.isfinite(self.scores).sum(1) - 1
        return np.stack([self.scores[np.arange(len(self)), reached], self.costs], axis=1)

    def at(self, place: int) -> np.ndarray:
        """Return the rows of the trials that have a score, by its number."""
        return np.flatnonzero(np.isfinite(self.scores[:, place]))

    def repeats(self, place: int) -> bool:
        """Return True if a score is the share of margins above 0, which greedy answers on the same questions repeat."""
        return place == self.num_signals == 1 and np.array_equal(self.scores[:, 0], self.scores[:, 1])

    def points(self, place: int) -> Floats:
        """Return (K, 2) score and FLOPs ratio of the trials that have it."""
        rows = self.at(place)
        return np.stack([self.scores[rows, place], self.costs[rows]], axis=1)

    def nearest(self) -> np.ndarray:
        """Return all rows: those within the limits first, then from the front backwards.

        A trial that was stopped counts with what the rungs that it lacks add on average.
        """
        points, reached = self.last, np.isfinite(self.scores).sum(1)
        for place in range(self.num_signals + 1, self.num_scores):
            rows = self.at(place)
            points[reached <= place, 0] += (self.scores[rows, place] - self.scores[rows, place - 1]).mean()
        return np.lexsort((sort_fronts(points, MAXIMIZE), ~self.feasible))


class Kept:
    """What was made of trials once, a row of `width` numbers each; tables of any trials are then read off it.

    A search asks for the same rows again and again, all but the last of them as before.
    """

    def __init__(self, make: Callable[[Observation], ArrayLike], width: int, dtype: DTypeLike = np.float64) -> None:
        self._make = make
        self._places: dict[int, int] = {}
        self._rows = np.empty((0, width), dtype=dtype)

    def of(self, trials: Sequence[Observation]) -> NDArray[Any]:
        """Return (N, width) rows, in the order of the trials."""
        for trial in trials:
            if trial.number not in self._places:
                self._add(trial)
        return self._rows[[self._places[trial.number] for trial in trials]]

    def _add(self, trial: Observation) -> None:
        place = len(self._places)
        if place == len(self._rows):  # room for as many again
            self._rows = np.resize(self._rows, (max(1, 2 * place), self._rows.shape[1]))
        self._rows[place] = self._make(trial)
        self._places[trial.number] = place


class Reader:
    """Reads the history."""

    def __init__(self, task: Task, coding: Coding) -> None:
        self._codes = Kept(lambda trial: coding.encode([trial.plan])[0], len(coding.choices), CODE)
        self._bits = Kept(lambda trial: coding.bits(coding.encode([trial.plan]))[0], coding.num_bits)
        self._about = Kept(lambda trial: (task.feasible(trial.plan), trial.plan.num_changed), 2, np.int64)
        """Whether the plan keeps the limits, blocks that it changes."""
        self._share = Kept(lambda trial: (np.array(trial.margins) > 0).mean(), 1)
        """Of margins above 0, of trials that have some."""
        self._margins: Kept | None = None
        """`bent`; None before a trial has some."""

    def codes(self, trials: Sequence[Observation]) -> Codes:
        """Return (N, L) codes, in the order of the trials."""
        return self._codes.of(trials)

    def bits(self, trials: Sequence[Observation]) -> Floats:
        """Return (N, F) bits, in the order of the trials."""
        return self._bits.of(trials)

    def measured(self, history: Sequence[Observation]) -> Measured:
        """Those that have finished a rung."""
        trials = [trial for trial in history if trial.accuracies]
        num_rungs = max((len(trial.accuracies) for trial in trials), default=1)
        num_signals = int(len(trials) >= FEWEST and all(trial.margins is not None for trial in trials))
        about = self._about.of(trials)
        return Measured(
            codes=self.codes(trials),
            bits=self.bits(trials),
            costs=np.array([trial.flops_ratio for trial in trials]),
            scores=self.scores(trials, num_signals, num_signals + num_rungs),
            num_signals=num_signals,
            margins=self._read_margins(trials) if num_signals else np.empty((len(trials), 0)),
            num_changed=about[:, 1],
            feasible=about[:, 0].astype(bool),
            full=np.array([trial.full for trial in trials], dtype=bool),
            stopped=np.array([trial.state == "stopped" for trial in trials], dtype=bool),
            numbers=np.array([trial.number for trial in trials], dtype=int),
        )

    def scores(self, trials: Sequence[Observation], num_signals: int, num_scores: int) -> Floats:
        """Return (N, S) scores, see `Measured`, of trials that may not have finished a rung."""
        rows = np.full((len(trials), num_scores), np.nan)
        if num_signals:
            measured = [place for place, trial in enumerate(trials) if trial.accuracies]
            rows[measured, 0] = self._share.of([trials[place] for place in measured])[:, 0]
        # Rung by rung, as many as any trial has; no trial that runs is farther than all that are measured.
        for rung, own in enumerate(zip_longest(*(trial.accuracies for trial in trials), fillvalue=np.nan)):
            rows[:, num_signals + rung] = own
        return rows

    def _read_margins(self, trials: Sequence[Observation]) -> Floats:
        """Return (N, Q) of trials that all have some."""
        if self._margins is None:
            self._margins = Kept(lambda trial: bent(np.array(trial.margins)), len(trials[0].margins or ()))
        return self._margins.of(trials)
