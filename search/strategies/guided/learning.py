"""Learns from the trials so far: the models of all rungs, the current front, and the archive of parents."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.dominance import non_dominated, sort_fronts
from objectives.objectives import MAXIMIZE
from search.strategies.guided.answers import MarginModel, MarginTrend
from search.strategies.guided.calibration import check
from search.strategies.guided.fidelities import (
    Fidelities,
    Line,
    Prediction,
    RepeatedScore,
    RungModel,
    ScoreModel,
    Trend,
    WidenedModel,
)
from search.strategies.guided.improvement import Staircase, expected_improvement
from search.strategies.guided.measured import Measured, Reader
from search.strategies.guided.prior import Floats, prior_of, prior_tolls, weights_of
from search.strategies.guided.surrogate import Kernel, Surrogate, fit
from search.strategies.plan_bits import Codes, Coding
from search.strategies.promotion import bar
from search.strategies.strategy import Focus, Observation, Task, focus_above_floor
from workers.reports import Importance

MAX_LEARNED = (250, 120)
"""Maximum number of trials that the model of the first score, and that of each further score, learns from; the trials
nearest to the front are taken. Bounds the time per proposal."""
MAX_FITTED = 120
"""Maximum number of trials that the hyperparameters of a kernel are fitted to."""
REFIT_GROWTH = 1.25
"""A kernel is refitted when the number of trials has grown by this factor."""
MIN_FULL_TRIALS = 4
"""Number of full trials (finished last rung) from which the front consists of full trials only."""
EVEN_SHARES = (0.1, 1.0)
"""Values of `Prior.even`, used alternately by successive proposals."""
MAX_STOPPED = 100
"""Maximum number of stopped trials considered for continuing."""
RESUMED_WEIGHT = 0.5
"""Weight of the gain that a plan reaches only if it is stopped and continued later, which takes two trials."""
CHECKED_FROM = 12
"""Minimum number of trials for comparing predictions with measurements (`calibration`)."""
CLEARLY = 0.1
"""Minimum advantage, in mean log density per trial, for an alternative view to be used beside the best usual one."""
MIN_ARCHIVE = 8
"""Minimum number of parents if few trials have the minimum accuracy of the focus."""
ARCHIVE = 40
"""Number of parents: the first front, filled up from the next fronts."""


@dataclass(frozen=True)
class View:
    """One way to model the first score: which measurements and which prior the surrogate uses."""

    margins: bool
    """True to learn from the margins of all answers, False from the accuracy alone."""
    importance: bool
    """True if the prior of a bit is proportional to the importance of what it leaves out; False if all are equal."""
    even: float
    """`Prior.even`."""
    pairs: bool = False
    """True for a kernel with an additional effect per pair of bits, as redundant blocks have."""


@dataclass(frozen=True)
class Fitted:
    """A fitted kernel, and the quality of its predictions."""

    kernel: Kernel
    widening: float = 1.0
    """Factor by which standard deviations were too small."""
    score: float = 0.0
    """Mean log density of the training trials, each predicted from the trials before it."""


@dataclass(frozen=True)
class Learned:
    """Everything that a proposal needs to know about the trials so far. L blocks."""

    archive: Codes
    """(A, L) codes of the parents, nearest to the front first; plans that keep the limits come before all others."""
    best: Codes
    """(K, L) codes of the full trials on the front."""
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

        The gain of a plan that would be stopped before the last rung counts with the weight `RESUMED_WEIGHT`, since it
        can be continued later. With weight 0, plans that are good only after tuning would never be proposed.

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
        self._fitted: dict[tuple[int, View | None], tuple[int, Fitted]] = {}
        """(rung, view) -> (number of trials the kernel was fitted to, kernel); rung -1 stands for the margins."""
        self._tolls = self._alike = prior_tolls(coding, None)
        self._importance: Importance | None = None

    def learn(self, history: Sequence[Observation], caution: float = 1.0) -> Learned | None:
        """Return the models, front and archive of a history, or None if fewer than two trials have finished a rung.

        Args:
            history: all trials so far.
            caution: exponent, from 0 to 1, of the factor by which past standard deviations were too small; with 0 they
                are not widened and no alternative views are used.
        """
        measured = self._reader.measured(history)
        if len(measured) < 2:
            return None
        self._read_importance(history)
        views = self._views(measured, caution > 0)
        view = views[len(history) % len(views)]
        order = measured.nearest(self._task.focus.min_accuracy)
        running = [trial for trial in history if trial.state == "running"]
        bits = self._reader.bits(running)
        unseen = bits[np.array([not trial.accuracies for trial in running], dtype=bool)]
        fidelities = Fidelities(
            [self._level(measured, order, rung, unseen, view, caution) for rung in range(measured.num_scores)]
        )
        front, focus = _front(measured), focus_above_floor(self._task.focus, history)
        if running:
            so_far = self._reader.scores(running, measured.num_signals, measured.num_scores)
            expected = fidelities.of(bits).if_continued(so_far).mean
            front = np.concatenate([front, np.stack([expected, [t.flops_ratio for t in running]], axis=1)])
        climbed = [measured.points(place) for place in range(measured.num_signals, measured.num_scores - 1)]
        passed = [Staircase(bar(points, self._task.keep_fraction)) for points in climbed]
        stopped = order[measured.stopped[order] & measured.feasible[order]][:MAX_STOPPED]
        return Learned(
            archive=self._parents(measured, order),
            best=_best(measured, focus),
            front=Staircase(front, focus),
            bars=[*[None] * measured.num_signals, *passed],
            fidelities=fidelities,
            stopped=measured.take(stopped),
        )

    def archive(self, history: Sequence[Observation]) -> Codes:
        """Return the (A, L) codes of the parents, see `Learned.archive`."""
        measured = self._reader.measured(history)
        return self._parents(measured, measured.nearest(self._task.focus.min_accuracy))

    def _parents(self, measured: Measured, order: np.ndarray) -> Codes:
        inside = int((measured.last[:, 0] >= self._task.focus.min_accuracy).sum())
        parents: Codes = measured.codes[order[: min(ARCHIVE, max(inside, MIN_ARCHIVE))]]
        return parents

    def _read_importance(self, history: Sequence[Observation]) -> None:
        """Compute the tolls again if the dense trial has measured the importance of the sub-layers."""
        importance = next((trial.importance for trial in history if trial.importance is not None), None)
        if importance != self._importance:
            self._importance, self._tolls = importance, prior_tolls(self._coding, importance)
            self._fitted.clear()

    def _views(self, measured: Measured, compared: bool) -> list[View]:
        """Return the views that successive proposals use in turn.

        These are the usual views, which differ in `even`. If `compared` is True and an alternative view has predicted
        the trials clearly better, they are the better of the usual views and that alternative.
        """
        margins, importance = bool(measured.num_signals), self._importance is not None
        usual = [View(margins, importance, even) for even in EVEN_SHARES]
        if not compared or len(measured) < CHECKED_FROM:
            return usual
        signals = dict.fromkeys([(margins, importance), (margins, False), (False, False)])
        others = [View(*known, EVEN_SHARES[-1], pairs=True) for known in signals]
        score = {view: self._fit(measured, 0, view).score for view in (*usual, *others)}
        best, other = (max(views, key=lambda view: score[view]) for views in (usual, others))
        return [best, other] if score[other] > score[best] + CLEARLY else usual

    def _level(
        self, measured: Measured, order: np.ndarray, place: int, unseen: Floats, view: View, caution: float
    ) -> ScoreModel:
        """Return the model of the score number `place`.

        Running trials without a score, (U, F) bits `unseen`, enter the model of the first score with their predicted
        score, so that parallel workers evaluate different plans.
        """
        if measured.repeats(place):
            return RepeatedScore()
        fitted, trend = self._fit(measured, place, view), self._trend(measured, place, measured.at(place), view)
        reached = order[np.isfinite(measured.scores[order, place])]
        chosen = np.sort(reached[: MAX_LEARNED[place > 0]])
        bits, values = measured.bits[chosen], _left(trend, measured, place, chosen)
        surrogate = Surrogate(fitted.kernel, bits, values)
        if place == 0 and len(unseen):
            expected, _ = surrogate.predict(unseen)
            surrogate = Surrogate(fitted.kernel, np.concatenate([bits, unseen]), np.concatenate([values, expected]))
        model, factor = _model(trend, surrogate), fitted.widening**caution
        return model if factor == 1.0 else WidenedModel(model, factor)

    def _fit(self, measured: Measured, place: int, view: View) -> Fitted:
        """Return the kernel of the score number `place`, fitted to the first trials that have it.

        The number of these trials grows in steps of `REFIT_GROWTH`, so that most proposals find the kernel in the
        cache. It depends on these trials only, so that a resumed search fits the same kernel.
        """
        rows = measured.at(place)
        due = 1
        while (after := max(due + 1, int(due * REFIT_GROWTH))) <= len(rows):
            due = after
        key = place - measured.num_signals, None if place else view
        if key not in self._fitted or self._fitted[key][0] != due:
            rows = rows[:due]
            trend = self._trend(measured, place, rows, view)
            ranks = sort_fronts(measured.points(place)[:due], MAXIMIZE)
            nearest = np.sort(rows[np.argsort(ranks, kind="stable")[:MAX_FITTED]])
            bits, left = measured.bits[nearest], _left(trend, measured, place, nearest)
            fitted = Fitted(fit(trend.weights, bits, left, pairs=view.pairs and not place))
            if not place and due >= CHECKED_FROM:
                model = _model(trend, Surrogate(fitted.kernel, bits, left))
                fitted = Fitted(fitted.kernel, *check(model.in_turn(bits), measured.scores[nearest, place]))
            self._fitted[key] = due, fitted
        return self._fitted[key][1]

    def _trend(self, measured: Measured, place: int, rows: np.ndarray, view: View) -> Trend | MarginTrend:
        """Return the mean function of the score number `place`, fitted to the trials `rows`, which all have it."""
        values = measured.scores[rows, place]
        if place:
            return Line.through(measured.scores[rows, place - 1], values, measured.bits.shape[1])
        bits = measured.bits[rows]
        tolls = self._tolls if view.importance else self._alike
        if view.margins:
            return MarginTrend.through(bits, measured.margins[rows], tolls, weights_of(tolls, view.even))
        changes = measured.num_changed[rows]
        dense = values[changes == 0]
        known = float(dense[0]) if len(dense) else None
        return prior_of(bits, values, changes == 1, known, tolls, view.even)


def _model(trend: Trend | MarginTrend, surrogate: Surrogate) -> MarginModel | RungModel:
    return MarginModel(trend, surrogate) if isinstance(trend, MarginTrend) else RungModel(trend, surrogate)


def _left(trend: Trend | MarginTrend, measured: Measured, place: int, rows: np.ndarray) -> Floats:
    """Return the residuals of a trend: (N,) for accuracies, (N, Q) for margins."""
    bits = measured.bits[rows]
    if isinstance(trend, MarginTrend):
        residuals: Floats = measured.margins[rows] - trend.mean(bits)
        return residuals
    left = measured.scores[rows, place] - trend.base(bits)
    remaining: Floats = left - trend.slope * measured.scores[rows, place - 1] if place else left
    return remaining


def _best(measured: Measured, focus: Focus) -> Codes:
    """Return the (K, L) codes of the full trials on the front, within the limits and above the minimum accuracy."""
    rows = np.flatnonzero(measured.full & measured.feasible & (measured.last[:, 0] > focus.min_accuracy))
    codes: Codes = measured.codes[rows[non_dominated(measured.last[rows], MAXIMIZE)]]
    return codes


def _front(measured: Measured) -> Floats:
    """Return (K, 2) accuracy and FLOPs ratio of the trials that keep the limits, each at its highest rung.

    With `MIN_FULL_TRIALS` full trials or more, only full trials are returned.
    """
    full = measured.full if measured.full.sum() >= MIN_FULL_TRIALS else np.ones(len(measured), dtype=bool)
    front: Floats = measured.last[measured.feasible & full]
    return front
