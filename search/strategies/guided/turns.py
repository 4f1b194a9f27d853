"""Decides which way the next plan is found: by the surrogate, by evolution, or for coverage.

The surrogate has every turn as long as it finds something. The more of its proposals in a row add nothing to the
hypervolume, the more turns go to the others, whatever the surrogate expects: its doubt can't be trusted where its mean
is wrong. All follows from the history, whose origins say where a plan came from.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from objectives.objectives import REFERENCE
from search.strategies.strategy import Focus, Observation

PATIENCE = 10
"""Number of proposals of the surrogate in a row without a gain up to which all turns are its."""
HALF_LIFE = 15
"""Number of further ones after which the others have half of what they can have."""
MAX_OTHERS = 0.65
"""Largest probability of a turn of the others."""
COVERAGE = 0.2
"""Probability that a turn of the others is for coverage, not evolution."""
MIN_GAIN = 1e-4
"""Smallest gain that counts, relative to the hypervolume before it."""
WINDOW = 40
"""Number of latest trials whose gains decide how turns are shared."""
PRIOR_TRIALS = 4
"""Trials for which it counts beforehand that the others gain as often as the surrogate."""


class Turn(StrEnum):
    """Where a plan comes from. Origins of trials begin with it, or with what evolution says of its parents."""

    SURROGATE = "expected to add"
    EVOLUTION = "evolution"
    COVERAGE = "coverage"


def turn_of(trial: Observation) -> Turn | None:
    """Return where the plan of a trial came from, None for baselines and scans."""
    return next((turn for turn in Turn if trial.origin.startswith(turn)), None)


@dataclass(frozen=True)
class Standing:
    """Gains and turns of the search so far."""

    idle: float
    """From 0, where the surrogate finds something, to 1, where it has long found nothing."""
    others: float
    """Probability that the next turn is not the surrogate's, from 0 to `MAX_OTHERS`."""


def draw_turn(others: float, rng: np.random.Generator) -> Turn:
    """Draw whose turn it is."""
    if rng.random() >= others:
        return Turn.SURROGATE
    return Turn.COVERAGE if rng.random() < COVERAGE else Turn.EVOLUTION


def standing(history: Sequence[Observation], focus: Focus) -> Standing:
    """Return how the search goes, by the trials with a result and their gains in the focus."""
    trials = [trial for trial in history if trial.accuracies or trial.state != "running"]
    turns, gained = [turn_of(trial) for trial in trials], gains(trials, focus)
    own = [gain for turn, gain in zip(turns, gained, strict=True) if turn is Turn.SURROGATE]
    idle = next((number for number, gain in enumerate(reversed(own)) if gain), len(own))
    beyond = max(0, idle - PATIENCE)
    waiting = beyond / (beyond + HALF_LIFE)
    latest = list(zip(turns, gained, strict=True))[-WINDOW:]
    ours = [gain for turn, gain in latest if turn is Turn.SURROGATE]
    theirs = [gain for turn, gain in latest if turn is Turn.EVOLUTION]
    rate = (sum(ours) + 1) / (len(ours) + 2)
    others = (sum(theirs) + PRIOR_TRIALS * rate) / (len(theirs) + PRIOR_TRIALS)
    return Standing(waiting, min(MAX_OTHERS, waiting * others / (others + rate)))


def gains(trials: Sequence[Observation], focus: Focus) -> list[bool]:
    """Return per trial if it added to the hypervolume of the full trials before it, in the focus."""
    costs: list[float] = []
    heights: list[float] = []  # the front so far: both increase
    volume, found = 0.0, []
    for trial in trials:
        gain = 0.0
        accuracy, cost = trial.accuracy, trial.flops_ratio
        if trial.full and accuracy is not None and accuracy > focus.min_accuracy and cost < REFERENCE[1]:
            gain = _insert(costs, heights, cost, accuracy, focus.min_accuracy)
        volume += gain
        found.append(gain > MIN_GAIN * volume)
    return found


def _insert(costs: list[float], heights: list[float], cost: float, accuracy: float, floor: float) -> float:
    """Add a point to a front and return the hypervolume that it adds."""
    place = bisect_right(costs, cost)
    below = heights[place - 1] if place else floor
    if accuracy <= below:
        return 0.0
    gain, left, end = 0.0, cost, place
    while end < len(costs) and heights[end] <= accuracy:
        gain += (costs[end] - left) * (accuracy - below)
        left, below = costs[end], heights[end]
        end += 1
    right = costs[end] if end < len(costs) else REFERENCE[1]
    gain += (right - left) * (accuracy - below)
    start = place - 1 if place and costs[place - 1] == cost else place
    costs[start:end], heights[start:end] = [cost], [accuracy]
    return gain
