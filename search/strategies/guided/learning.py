"""Learns from the trials so far: the models of all rungs, the current front, and the archive of parents."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.dominance import sort_fronts
from objectives.objectives import MAXIMIZE
from search.strategies.guided.answers import MarginModel, MarginTrend
from search.strategies.guided.fidelities import (
    Fidelities,
    Line,
    Prediction,
    RepeatedScore,
    RungModel,
    ScoreModel,
    Trend,
)
from search.strategies.guided.improvement import Staircase, expected_improvement
from search.strategies.guided.measured import Measured, Reader
from search.strategies.guided.prior import Floats, prior_of, prior_tolls, weights_of
from search.strategies.guided.surrogate import Kernel, Surrogate, fit
from search.strategies.plan_bits import Codes, Coding
from search.strategies.promotion import bar
from search.strategies.strategy import Observation, Task, focus_above_floor
from workers.reports import Importance

MAX_LEARNED = (250, 120)
"""Maximum number of trials that the model of the first score, and that of each further score, learns from; the trials
nearest to the front are taken. Bounds the time per proposal."""
MAX_FITTED = 120
"""Maximum number of trials that the hyperparameters of a kernel are fitted to."""
REFIT_GROWTH = 1.25
"""A kernel is refitted when the number of trials has grown by this factor."""
MIN_FULL_TRIALS = 4
"""Number of full trials from which on only full trials make up the front."""
EVEN_SHARES = (0.1, 1.0)
"""Values of `Prior.even` for the initial kernel weights, used in turn by successive proposals."""
MAX_STOPPED = 100
"""Maximum number of stopped trials considered for continuing."""
RESUMED_WEIGHT = 0.5
"""Weight of the gain that a plan has only if it is first stopped and later continued: such a plan takes two trials."""
ARCHIVE = 40
"""Number of parents: the first front, filled up from the next fronts."""


@dataclass(frozen=True)
class Learned:
    """Everything that a proposal needs to know about the trials so far. L blocks."""

    archive: Codes
    """(A, L) codes of the parents, nearest to the front first; plans that keep the limits come before all others."""
    front: Staircase
    """The current front, which a new plan must improve on; running trials have their predicted accuracy."""
    bars: Sequence[Staircase | None]
    """Per score but the last, the accuracy below which a trial is stopped, by cost; None if none is stopped there."""
    fidelities: Fidelities
    """Predicts the accuracy at the last rung."""
    stopped: Measured
    """Trials that were stopped before the last rung and keep the limits, nearest to the front first."""

    def gains(self, bits: Floats, costs: Floats) -> Floats:
        """Return the expected hypervolume improvement (M,) of a trial of each plan.

        The gain of a plan that would be stopped on the way has the weight `RESUMED_WEIGHT`, since it can be continued
        later. With weight 0, plans that are good only after tuning would never be proposed.

        Args:
            bits: (M, F) bits of the plans.
            costs: (M,) their FLOPs ratios.
        """
        conditionals = self.fidelities.of(bits)
        judged = self._gains(
            conditionals.if_judged([None if bar is None else bar.at(costs) for bar in self.bars]), costs
        )
        if all(bar is None for bar in self.bars):
            return judged
        return judged + RESUMED_WEIGHT * np.maximum(self._gains(conditionals.if_judged(), costs) - judged, 0.0)

    def _gains(self, prediction: Prediction, costs: Floats) -> Floats:
        return prediction.chance * expected_improvement(self.front, costs, prediction.mean, prediction.deviation)

    def gains_if_continued(self, stopped: Measured) -> Floats:
        """Return the expected hypervolume improvement (N,) of continuing each of N trials to the last rung."""
        return self._gains(self.fidelities.of(stopped.bits).if_continued(stopped.scores), stopped.costs)


class Learner:
    """Builds `Learned` from a history; caches the kernels between proposals, since fitting them is expensive.

    The result depends on the history only, not on earlier calls.
    """

    def __init__(self, task: Task, coding: Coding, reader: Reader) -> None:
        self._task, self._coding, self._reader = task, coding, reader
        self._kernels: dict[tuple[int, float], tuple[int, Kernel]] = {}
        """(rung, even) -> (number of trials the kernel was fitted to, kernel); rung -1 stands for the margins."""
        self._tolls = prior_tolls(coding, None)
        self._importance: Importance | None = None

    def learn(self, history: Sequence[Observation]) -> Learned | None:
        """Return what the history teaches, or None if fewer than two trials have finished a rung."""
        measured = self._reader.measured(history)
        if len(measured) < 2:
            return None
        self._read_importance(history)
        even = EVEN_SHARES[len(history) % len(EVEN_SHARES)]
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
            expected = fidelities.of(bits).if_continued(so_far).mean
            front = np.concatenate([front, np.stack([expected, [t.flops_ratio for t in running]], axis=1)])
        climbed = [measured.points(place) for place in range(measured.num_signals, measured.num_scores - 1)]
        passed = [Staircase(bar(points, self._task.keep_fraction)) for points in climbed]
        stopped = order[measured.stopped[order] & measured.feasible[order]][:MAX_STOPPED]
        return Learned(
            archive=measured.codes[order[:ARCHIVE]],
            front=Staircase(front, focus_above_floor(self._task.focus, history)),
            bars=[*[None] * measured.num_signals, *passed],
            fidelities=fidelities,
            stopped=measured.take(stopped),
        )

    def _read_importance(self, history: Sequence[Observation]) -> None:
        """Compute the tolls again if the dense trial has measured the importance of the sub-layers."""
        importance = next((trial.importance for trial in history if trial.importance is not None), None)
        if importance != self._importance:
            self._importance, self._tolls = importance, prior_tolls(self._coding, importance)

    def _level(self, measured: Measured, order: np.ndarray, place: int, unseen: Floats, even: float) -> ScoreModel:
        """Return the model of the score number `place`.

        Running trials without a score, (U, F) bits `unseen`, count at the first score as if they had their predicted
        score, so that parallel workers do not evaluate similar plans.
        """
        if measured.repeats(place):
            return RepeatedScore()
        kernel, trend = self._kernel(measured, place, even), self._trend(measured, place, measured.at(place), even)
        reached = order[np.isfinite(measured.scores[order, place])]
        chosen = np.sort(reached[: MAX_LEARNED[place > 0]])
        bits, values = measured.bits[chosen], _left(trend, measured, place, chosen)
        surrogate = Surrogate(kernel, bits, values)
        if place == 0 and len(unseen):
            expected, _ = surrogate.predict(unseen)
            surrogate = Surrogate(kernel, np.concatenate([bits, unseen]), np.concatenate([values, expected]))
        return MarginModel(trend, surrogate) if isinstance(trend, MarginTrend) else RungModel(trend, surrogate)

    def _kernel(self, measured: Measured, place: int, even: float) -> Kernel:
        """Return the kernel of the score number `place`, fitted to the first trials that have it.

        The number of these trials grows in steps of `REFIT_GROWTH`, so that most proposals find the kernel in the
        cache. It depends on these trials only, so that a resumed search fits the same kernel.
        """
        rows = measured.at(place)
        due = 1
        while (after := max(due + 1, int(due * REFIT_GROWTH))) <= len(rows):
            due = after
        key = place - measured.num_signals, even
        if key not in self._kernels or self._kernels[key][0] != due:
            rows = rows[:due]
            trend = self._trend(measured, place, rows, even)
            ranks = sort_fronts(measured.points(place)[:due], MAXIMIZE)
            nearest = rows[np.argsort(ranks, kind="stable")[:MAX_FITTED]]
            left = _left(trend, measured, place, nearest)
            self._kernels[key] = due, fit(trend.weights, measured.bits[nearest], left)
        return self._kernels[key][1]

    def _trend(self, measured: Measured, place: int, rows: np.ndarray, even: float) -> Trend | MarginTrend:
        """Return the mean function of the score number `place`, fitted to the trials `rows`, which all have it."""
        values = measured.scores[rows, place]
        if place:
            return Line.through(measured.scores[rows, place - 1], values, measured.bits.shape[1])
        bits = measured.bits[rows]
        if measured.num_signals:
            return MarginTrend.through(bits, measured.margins[rows], self._tolls, weights_of(self._tolls, even))
        changes = measured.num_changed[rows]
        dense = values[changes == 0]
        known = float(dense[0]) if len(dense) else None
        return prior_of(bits, values, changes == 1, known, self._tolls, even)


def _left(trend: Trend | MarginTrend, measured: Measured, place: int, rows: np.ndarray) -> Floats:
    """Return the residuals of a trend: (N,) for accuracies, (N, Q) for margins."""
    bits = measured.bits[rows]
    if isinstance(trend, MarginTrend):
        residuals: Floats = measured.margins[rows] - trend.mean(bits)
        return residuals
    left = measured.scores[rows, place] - trend.base(bits)
    remaining: Floats = left - trend.slope * measured.scores[rows, place - 1] if place else left
    return remaining


def _front(measured: Measured) -> Floats:
    """Return (K, 2) accuracy and FLOPs ratio of the trials that keep the limits, each at its highest rung.

    With `MIN_FULL_TRIALS` full trials or more, only full trials are returned.
    """
    full = measured.full if measured.full.sum() >= MIN_FULL_TRIALS else np.ones(len(measured), dtype=bool)
    front: Floats = measured.last[measured.feasible & full]
    return front
