"""The history as arrays: codes, bits, costs and scores of the trials."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from objectives.dominance import sort_fronts
from objectives.objectives import MAXIMIZE
from search.strategies.guided.answers import MIN_TRIALS_FOR_MARGINS, compressed
from search.strategies.guided.prior import Floats
from search.strategies.plan_bits import CODE, Codes, Coding
from search.strategies.strategy import Observation, Task


@dataclass(frozen=True)
class Measured:
    """The trials that have finished at least one rung. N trials, L blocks, F bits, S scores."""

    codes: Codes
    """(N, L) codes of the plans."""
    bits: Floats
    """(N, F) bits of the plans."""
    costs: Floats
    """(N,) FLOPs ratios."""
    scores: Floats
    """(N, S) accuracies at the rungs, NaN where a trial has not finished the rung. If margins are used (`num_signals`),
    the first column is the fraction of margins above 0."""
    num_signals: int
    """Number of scores before the accuracies: 1 if margins are used, else 0. Margins are used if all trials have them
    and there are at least `MIN_TRIALS_FOR_MARGINS`."""
    margins: Floats
    """(N, Q) compressed margins (`compressed`) of Q questions at the cheapest rung; Q is 0 if margins are not used."""
    num_changed: np.ndarray
    """(N,) int, number of blocks that are not kept."""
    feasible: np.ndarray
    """(N,) bool, True if the plan keeps the limits."""
    full: np.ndarray
    """(N,) bool, True if the trial has finished the last rung."""
    stopped: np.ndarray
    """(N,) bool, True if the trial was stopped before the last rung."""
    numbers: np.ndarray
    """(N,) int, numbers of the trials."""

    def __len__(self) -> int:
        return len(self.costs)

    def take(self, rows: np.ndarray) -> "Measured":
        """Return the trials of these rows, in the given order."""
        arrays = {name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, **arrays)

    @property
    def num_scores(self) -> int:
        count: int = self.scores.shape[1]
        return count

    @property
    def last(self) -> Floats:
        """Return (N, 2) accuracy at the highest rung that each trial has finished, and FLOPs ratio."""
        reached = np.isfinite(self.scores).sum(1) - 1
        return np.stack([self.scores[np.arange(len(self)), reached], self.costs], axis=1)

    def at(self, place: int) -> np.ndarray:
        """Return the rows of the trials that have the score number `place`."""
        return np.flatnonzero(np.isfinite(self.scores[:, place]))

    def repeats(self, place: int) -> bool:
        """Return True if the score number `place` equals the fraction of margins above 0 in every trial.

        This is the case if the answers at the cheapest rung are the most likely candidates, on the same questions.
        """
        return place == self.num_signals == 1 and np.array_equal(self.scores[:, 0], self.scores[:, 1])

    def points(self, place: int) -> Floats:
        """Return (K, 2) score number `place` and FLOPs ratio of the trials that have this score."""
        rows = self.at(place)
        return np.stack([self.scores[rows, place], self.costs[rows]], axis=1)

    def nearest(self, min_accuracy: float = 0.0) -> np.ndarray:
        """Return all row numbers, sorted by nearness to the front.

        Plans within the limits come first; among them those with at least `min_accuracy`; among these, the order is
        that of non-dominated sorting. A stopped trial is ranked by its accuracy plus the mean gain of each rung that it
        did not finish.
        """
        points, reached = self.last, np.isfinite(self.scores).sum(1)
        for place in range(self.num_signals + 1, self.num_scores):
            rows = self.at(place)
            points[reached <= place, 0] += (self.scores[rows, place] - self.scores[rows, place - 1]).mean()
        return np.lexsort((sort_fronts(points, MAXIMIZE), points[:, 0] < min_accuracy, ~self.feasible))


class RowCache:
    """Cache of one row of numbers per trial, from which tables of any trials are assembled.

    From one proposal to the next nearly all rows stay the same.
    """

    def __init__(self, make: Callable[[Observation], ArrayLike], width: int, dtype: DTypeLike = np.float64) -> None:
        """Create an empty cache.

        Args:
            make: computes the row of a trial, (width,).
            width: numbers per row.
            dtype: dtype of the table.
        """
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
        if place == len(self._rows):  # doubled, so that adding a row takes constant time on average
            self._rows = np.resize(self._rows, (max(1, 2 * place), self._rows.shape[1]))
        self._rows[place] = self._make(trial)
        self._places[trial.number] = place


class Reader:
    """Converts histories to arrays."""

    def __init__(self, task: Task, coding: Coding) -> None:
        self._codes = RowCache(lambda trial: coding.encode([trial.plan])[0], len(coding.choices), CODE)
        self._bits = RowCache(lambda trial: coding.bits(coding.encode([trial.plan]))[0], coding.num_bits)
        self._about = RowCache(lambda trial: (task.feasible(trial.plan), trial.plan.num_changed), 2, np.int64)
        """1 if the plan keeps the limits, else 0; number of blocks that it changes."""
        self._share = RowCache(lambda trial: (np.array(trial.margins) > 0).mean(), 1)
        """Fraction of margins above 0; only for trials with margins."""
        self._margins: RowCache | None = None
        """Compressed margins; None until the number of questions is known."""

    def codes(self, trials: Sequence[Observation]) -> Codes:
        """Return the (N, L) codes of N trials."""
        return self._codes.of(trials)

    def bits(self, trials: Sequence[Observation]) -> Floats:
        """Return the (N, F) bits of N trials."""
        return self._bits.of(trials)

    def measured(self, history: Sequence[Observation]) -> Measured:
        """Return the trials that have finished at least one rung."""
        trials = [trial for trial in history if trial.accuracies]
        num_rungs = max((len(trial.accuracies) for trial in trials), default=1)
        num_signals = int(len(trials) >= MIN_TRIALS_FOR_MARGINS and all(trial.margins is not None for trial in trials))
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
        """Return the (N, S) scores of trials as in `Measured`, NaN for rungs that a trial has not finished.

        Args:
            trials: any trials, also those that have not finished a rung.
            num_signals: as in `Measured`.
            num_scores: S, at least `num_signals` plus the number of rungs that any trial has finished.
        """
        rows = np.full((len(trials), num_scores), np.nan)
        if num_signals:
            measured = [place for place, trial in enumerate(trials) if trial.accuracies]
            rows[measured, 0] = self._share.of([trials[place] for place in measured])[:, 0]
        # `trials` may have finished fewer rungs than `num_scores` has columns, never more.
        for rung, own in enumerate(zip_longest(*(trial.accuracies for trial in trials), fillvalue=np.nan)):
            rows[:, num_signals + rung] = own
        return rows

    def _read_margins(self, trials: Sequence[Observation]) -> Floats:
        """Return the (N, Q) compressed margins of N trials that all have margins."""
        if self._margins is None:
            self._margins = RowCache(lambda trial: compressed(np.array(trial.margins)), len(trials[0].margins or ()))
        return self._margins.of(trials)
