"""What the trials so far teach: how rungs follow from plans, the front as it is, and the plans to descend from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.dominance import sort_fronts
from objectives.objectives import MAXIMIZE
from search.strategies.guided.answers import Answers, Fall
from search.strategies.guided.fidelities import Fidelities, Level, Line, Outlook, Same, Step, Trend
from search.strategies.guided.improvement import Staircase, expected_improvement
from search.strategies.guided.measured import Measured, Reader
from search.strategies.guided.prior import Floats, prior_of, tolls_beforehand, weights_of
from search.strategies.guided.surrogate import Kernel, Surrogate, fit
from search.strategies.plan_bits import Codes, Coding
from search.strategies.promotion import bar
from search.strategies.strategy import Observation, Task, focus_above_floor
from workers.requests import Importance

MOST_LEARNED = (250, 120)
"""Trials that the first score (margins where they are known, else accuracy at the first rung), and every further one,
are learned from at most: those nearest to the front. What bounds the time of an ask."""
MOST_FITTED = 120
"""Trials a kernel is fitted to at most."""
REFIT = 1.25
"""A kernel is fitted anew when there are this many times as many trials."""
ENOUGH_FULL = 4
"""Full trials from which on only they make the front; before, every trial does."""
EVENS = (0.1, 1.0)
"""How much all bits of a plan have in common in the kernel before it is fitted (`Prior.even`), by turns: what one
kernel is too sure of to look at, the other one asks for."""
MOST_STOPPED = 100
"""Stopped trials that are looked at again at most."""
TAKEN_UP = 0.5
"""What a stopped trial adds that goes on later, over what it would add at once: it takes two trials."""
ARCHIVE = 40
"""Plans to descend from: the front, and while it is small the fronts behind it."""


@dataclass(frozen=True)
class Learned:
    """What is known at one moment. L blocks."""

    archive: Codes
    """(A, L) plans near the front that keep the limits, as far as there are any."""
    front: Staircase
    """What a new plan has to improve on."""
    bars: Sequence[Staircase | None]
    """What it has to pass at every rung but the last; None for a score that decides nothing."""
    fidelities: Fidelities
    stopped: Measured
    """Trials that were stopped below the last rung and keep the limits, nearest to the front first."""

    def gains(self, bits: Floats, costs: Floats) -> Floats:
        """Return (M,) hypervolume that (M, F) plans can be expected to add by a trial.

        What a plan adds that is stopped on the way counts by `TAKEN_UP`: without it, plans that only tuning makes good
        would never be asked for once it is known well what they are untuned.
        """
        prospects = self.fidelities.of(bits)
        judged = self._gains(prospects.outlook([None if bar is None else bar.at(costs) for bar in self.bars]), costs)
        if all(bar is None for bar in self.bars):
            return judged
        return judged + TAKEN_UP * np.maximum(self._gains(prospects.outlook(), costs) - judged, 0.0)

    def _gains(self, outlook: Outlook, costs: Floats) -> Floats:
        return outlook.chance * expected_improvement(self.front, costs, outlook.mean, outlook.deviation)

    def gains_onward(self, stopped: Measured) -> Floats:
        """Return (N,) hypervolume that N trials can be expected to add if they go on to the last rung."""
        return self._gains(self.fidelities.of(stopped.bits).onward(stopped.scores), stopped.costs)


class Learner:
    """Keeps the kernels between asks, which are dear to fit. All follows from the history alone."""

    def __init__(self, task: Task, coding: Coding, reader: Reader) -> None:
        self._task, self._coding, self._reader = task, coding, reader
        self._kernels: dict[tuple[int, float], tuple[int, Kernel]] = {}
        """Per rung (-1 for the margins) and `EVENS` to how many trials its kernel was fitted, and the kernel."""
        self._tolls = tolls_beforehand(coding, None)
        self._importance: Importance | None = None

    def learn(self, history: Sequence[Observation]) -> Learned | None:
        """Return the model of all trials, None before two plans are measured."""
        measured = self._reader.measured(history)
        if len(measured) < 2:
            return None
        self._read_importance(history)
        even = EVENS[len(history) % len(EVENS)]
        order = measured.nearest()
        running = [trial for trial in history if trial.state == "running"]
        bits = self._reader.bits(running)
        unseen = bits[np.array([not trial.accuracies for trial in running], dtype=bool)]
        fidelities = Fidelities(
            [self._level(measured, order, rung, unseen, even) for rung in range(measured.num_scores)]
        )
        front = _front(measured)
        if running:
            so_far = self._reader.scores(running, measured.num_signals, measured.num_scores)
            expected = fidelities.of(bits).onward(so_far).mean
            front = np.concatenate([front, np.stack([expected, [t.flops_ratio for t in running]], axis=1)])
        climbed = [measured.points(place) for place in range(measured.num_signals, measured.num_scores - 1)]
        passed = [Staircase(bar(points, self._task.keep_fraction)) for points in climbed]
        stopped = order[measured.stopped[order] & measured.feasible[order]][:MOST_STOPPED]
        return Learned(
            archive=measured.codes[order[:ARCHIVE]],
            front=Staircase(front, focus_above_floor(self._task.focus, history)),
            bars=[*[None] * measured.num_signals, *passed],
            fidelities=fidelities,
            stopped=measured.take(stopped),
        )

    def _read_importance(self, history: Sequence[Observation]) -> None:
        """Take over what the dense trial says of the halves."""
        importance = next((trial.importance for trial in history if trial.importance is not None), None)
        if importance != self._importance:
            self._importance, self._tolls = importance, tolls_beforehand(self._coding, importance)

    def _level(self, measured: Measured, order: np.ndarray, place: int, unseen: Floats, even: float) -> Level:
        """What is known of a score. Trials that run, with their (U, F) bits `unseen`, count at the first one as if they
        scored what is expected of them, so that parallel workers spread out."""
        if measured.repeats(place):
            return Same()
        kernel, trend = self._kernel(measured, place, even), self._trend(measured, place, measured.at(place), even)
        reached = order[np.isfinite(measured.scores[order, place])]
        chosen = np.sort(reached[: MOST_LEARNED[place > 0]])
        bits, values = measured.bits[chosen], _left(trend, measured, place, chosen)
        surrogate = Surrogate(kernel, bits, values)
        if place == 0 and len(unseen):
            expected, _ = surrogate.predict(unseen)
            surrogate = Surrogate(kernel, np.concatenate([bits, unseen]), np.concatenate([values, expected]))
        return Answers(trend, surrogate) if isinstance(trend, Fall) else Step(trend, surrogate)

    def _kernel(self, measured: Measured, place: int, even: float) -> Kernel:
        """The kernel for the first trials of a number that grows in steps, so that most asks find it made. It is made
        from these alone, so that it is the same whenever it is made."""
        rows = measured.at(place)
        due = 1
        while (after := max(due + 1, int(due * REFIT))) <= len(rows):
            due = after
        key = place - measured.num_signals, even
        if key not in self._kernels or self._kernels[key][0] != due:
            rows = rows[:due]
            trend = self._trend(measured, place, rows, even)
            ranks = sort_fronts(measured.points(place)[:due], MAXIMIZE)
            nearest = rows[np.argsort(ranks, kind="stable")[:MOST_FITTED]]
            left = _left(trend, measured, place, nearest)
            self._kernels[key] = due, fit(trend.weights, measured.bits[nearest], left)
        return self._kernels[key][1]

    def _trend(self, measured: Measured, place: int, rows: np.ndarray, even: float) -> Trend | Fall:
        """Return the trend of these trials, which have a score."""
        values = measured.scores[rows, place]
        if place:
            return Line.through(measured.scores[rows, place - 1], values, measured.bits.shape[1])
        bits = measured.bits[rows]
        if measured.num_signals:
            return Fall.through(bits, measured.margins[rows], self._tolls, weights_of(self._tolls, even))
        changes = measured.num_changed[rows]
        dense = values[changes == 0]
        known = float(dense[0]) if len(dense) else None
        return prior_of(bits, values, changes == 1, known, self._tolls, even)


def _left(trend: Trend | Fall, measured: Measured, place: int, rows: np.ndarray) -> Floats:
    """Return the residuals of a trend: (N,) of a score, or (N, Q) of margins."""
    bits = measured.bits[rows]
    if isinstance(trend, Fall):
        residuals: Floats = measured.margins[rows] - trend.mean(bits)
        return residuals
    left = measured.scores[rows, place] - trend.base(bits)
    remaining: Floats = left - trend.slope * measured.scores[rows, place - 1] if place else left
    return remaining


def _front(measured: Measured) -> Floats:
    """(K, 2) points of the full trials that keep the limits, once there are enough; before, of all, at the last rung
    of each."""
    full = measured.full if measured.full.sum() >= ENOUGH_FULL else np.ones(len(measured), dtype=bool)
    front: Floats = measured.last[measured.feasible & full]
    return front
