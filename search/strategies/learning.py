"""What the trials so far teach: a surrogate, the front as it is expected to be, and the plans to descend from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.pareto import sort_fronts
from search.goals import MAXIMIZE
from search.strategies.coding import Codes, Coding
from search.strategies.prior import Floats, Prior, prior_of
from search.strategies.strategy import Observation, Task
from search.strategies.surrogate import Kernel, Surrogate, fit

MOST_LEARNED = 300
"""Trials the surrogate learns from at most, those nearest to the front: what bounds the time of an ask."""
MOST_FITTED = 120
"""Trials its kernel is fitted to at most."""
REFIT = 1.25
"""The kernel is fitted anew when there are this many times as many trials."""
ENOUGH_FULL = 4
"""Full trials from which on only they make the front; before, every trial does."""
ARCHIVE = 40
"""Plans to descend from: the front, and while it is small the fronts behind it."""


@dataclass(frozen=True)
class Learned:
    """What is known at one moment. L blocks."""

    archive: Codes
    """(A, L) plans near the front that keep the limits, as far as there are any."""
    front: Floats
    """(K, 2) accuracy and FLOPs ratio of what a new plan has to improve on."""
    surrogate: Surrogate


class Learner:
    """Keeps between asks what is dear to make: rows of trials, and the kernel. Both follow from the history alone."""

    def __init__(self, task: Task, coding: Coding) -> None:
        self._task, self._coding = task, coding
        self._rows: dict[int, tuple[np.ndarray, bool]] = {}
        """Code of every trial by number, and whether its plan keeps the limits."""
        self._kernel: tuple[int, Kernel] | None = None
        """How many trials it was fitted to, and the kernel."""

    def codes(self, history: Sequence[Observation]) -> Codes:
        """(N, L), in the order of the history."""
        for trial in history:
            if trial.number not in self._rows:
                self._rows[trial.number] = (self._coding.encode([trial.plan])[0], self._task.feasible(trial.plan))
        rows = [self._rows[trial.number][0] for trial in history]
        return np.array(rows, dtype=np.int8).reshape(-1, len(self._coding.choices))

    def learn(self, history: Sequence[Observation]) -> Learned | None:
        """What is known now; None before two plans are measured."""
        measured = [trial for trial in history if trial.accuracies]
        if len(measured) < 2:
            return None
        codes, values = self.codes(measured), _values(measured)
        bits = self._coding.bits(codes)
        points = np.stack([values, [trial.flops_ratio for trial in measured]], axis=1)
        feasible = np.array([self._rows[trial.number][1] for trial in measured])
        order = np.lexsort((sort_fronts(points, MAXIMIZE), ~feasible))
        prior = _prior(measured, bits, values)
        kernel = self._fitted(measured)
        nearest = np.sort(order[:MOST_LEARNED])
        surrogate = Surrogate(kernel, prior, bits[nearest], values[nearest])
        front = points[feasible & _counted(measured)]
        running = [trial for trial in history if trial.state == "running" and not trial.accuracies]
        if running:
            more = self._coding.bits(self.codes(running))
            expected, _ = surrogate.predict(more)
            surrogate = Surrogate(
                kernel, prior, np.concatenate([bits[nearest], more]), np.concatenate([values[nearest], expected])
            )
            front = np.concatenate([front, np.stack([expected, [t.flops_ratio for t in running]], axis=1)])
        return Learned(codes[order[:ARCHIVE]], front, surrogate)

    def _fitted(self, measured: Sequence[Observation]) -> Kernel:
        """The kernel for the first trials of a number that grows in steps, so that most asks find it made. It is made
        from these alone, so that it is the same whenever it is made."""
        due = 2
        while (after := max(due + 1, int(due * REFIT))) <= len(measured):
            due = after
        if self._kernel is None or self._kernel[0] != due:
            first = measured[:due]
            bits, values = self._coding.bits(self.codes(first)), _values(first)
            points = np.stack([values, [trial.flops_ratio for trial in first]], axis=1)
            nearest = np.argsort(sort_fronts(points, MAXIMIZE), kind="stable")[:MOST_FITTED]
            self._kernel = due, fit(_prior(first, bits, values), bits[nearest], values[nearest])
        return self._kernel[1]


def _prior(measured: Sequence[Observation], bits: Floats, values: Floats) -> Prior:
    # A plan's changes are its blocks' bits: counted on the plan, as one change may set several bits.
    changes = np.array([trial.plan.num_changed for trial in measured])
    dense = values[changes == 0]
    return prior_of(bits, values, changes == 1, float(dense[0]) if len(dense) else None)


def _counted(measured: Sequence[Observation]) -> np.ndarray:
    """Which trials make the front: the full ones, once there are enough."""
    full = np.array([trial.full for trial in measured])
    return full if full.sum() >= ENOUGH_FULL else np.ones(len(full), dtype=bool)


def _values(measured: Sequence[Observation]) -> Floats:
    """Accuracy of every trial at the last rung: measured, or what was measured before plus what the rungs between
    added on average where both are known."""
    last = max(len(trial.accuracies) for trial in measured)
    lifts = [0.0]
    for high in range(last - 1, 0, -1):
        gains = [t.accuracies[high] - t.accuracies[high - 1] for t in measured if len(t.accuracies) > high]
        lifts.append(lifts[-1] + float(np.mean(gains)))
    lifts.reverse()
    return np.array([trial.accuracies[-1] + lifts[len(trial.accuracies) - 1] for trial in measured])
