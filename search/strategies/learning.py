"""What the trials so far teach: a surrogate, the front as it is expected to be, and the plans to descend from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.pareto import sort_fronts
from search.goals import MAXIMIZE
from search.strategies.coding import Codes, Coding
from search.strategies.strategy import Observation, Task
from search.strategies.surrogate import Floats, Kernel, Surrogate, fit

MOST_LEARNED = 400
"""Trials the surrogate learns from at most, those nearest to the front: what bounds the time of an ask."""
MOST_FITTED = 150
"""Trials its kernel is fitted to at most."""
REFIT = 1.2
"""The kernel is fitted anew when there are this many times as many trials."""
ENOUGH_FULL = 4
"""Full trials from which on only they make the front; before, every trial does."""
ARCHIVE = 40
"""Plans to descend from: the front, and while it is small the fronts behind it."""


@dataclass(frozen=True)
class Learned:
    """N plans that were tried, running ones included."""

    codes: Codes
    """(N, L)."""
    archive: Codes
    """(A, L) plans near the front."""
    front: Floats
    """(K, 2) accuracy and FLOPs ratio of what a new plan has to improve on."""
    surrogate: Surrogate
    kernel: Kernel
    fitted: int
    """Number of trials the kernel was fitted to."""


def learn(task: Task, coding: Coding, history: Sequence[Observation], before: Learned | None) -> Learned | None:
    """What is known now; None before two plans are measured. `before` saves a fit where the kernel is still good."""
    measured = [o for o in history if o.accuracies]
    if len(measured) < 2:
        return None
    codes = coding.encode(o.plan for o in history)
    number = {o.number: row for row, o in enumerate(history)}
    rows = np.array([number[o.number] for o in measured])
    values = _values(measured)
    costs = np.array([o.flops_ratio for o in history])
    bits = coding.bits(codes)
    points = np.stack([values, costs[rows]], axis=1)
    ranks = sort_fronts(points, MAXIMIZE)
    nearest = np.argsort(ranks, kind="stable")[:MOST_LEARNED]
    kernel, fitted = _kernel(bits[rows], values, ranks, before)
    surrogate = Surrogate(kernel, bits[rows[nearest]], values[nearest])
    return Learned(
        codes=codes,
        archive=codes[rows[np.argsort(ranks, kind="stable")[:ARCHIVE]]],
        front=points,
        surrogate=surrogate,
        kernel=kernel,
        fitted=fitted,
    )


def _kernel(bits: Floats, values: Floats, ranks: np.ndarray, before: Learned | None) -> tuple[Kernel, int]:
    """The kernel fitted to the first trials of a number that grows in steps, so that most asks find it made."""
    due = _due(len(values))
    if before is not None and before.fitted == due:
        return before.kernel, due
    chosen = np.argsort(ranks[:due], kind="stable")[:MOST_FITTED]
    prior = np.full(bits.shape[1], 3.0 / bits.shape[1])
    return fit(bits[:due][chosen], values[:due][chosen], prior), due


def _due(count: int) -> int:
    due = 2
    while (after := max(due + 1, int(due * REFIT))) <= count:
        due = after
    return due


def _values(measured: Sequence[Observation]) -> Floats:
    """Accuracy of every trial at the last rung: measured, or what was measured before plus what the rungs between
    added on average where both are known."""
    last = max(len(o.accuracies) for o in measured)
    lifts = [0.0]
    for high in range(last - 1, 0, -1):
        gains = [o.accuracies[high] - o.accuracies[high - 1] for o in measured if len(o.accuracies) > high]
        lifts.append(lifts[-1] + float(np.mean(gains)))
    lifts.reverse()
    return np.array([o.accuracies[-1] + lifts[len(o.accuracies) - 1] for o in measured])
