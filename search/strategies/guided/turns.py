"""Decides how the next plan is found: by the surrogate, by evolution, or for coverage.

As long as the surrogate's proposals add to the hypervolume, it makes all proposals. The more of them in a row add
nothing, the more often evolution or coverage make the next one. The surrogate's own uncertainty is not used for this
decision, since it is unreliable where the surrogate's mean is wrong. The turns are derived from the history: the origin
of a trial says how its plan was found.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from objectives.objectives import REFERENCE
from search.strategies.strategy import Focus, Observation

PATIENCE = 10
"""Number of successive proposals of the surrogate without a gain until others get turns."""
HALF_LIFE = 15
"""Number of further such proposals after which `Standing.idle` is 0.5."""
MAX_OTHERS = 0.65
"""Maximum probability that a proposal is not the surrogate's."""
COVERAGE = 0.2
"""Probability that a proposal that is not the surrogate's is for coverage; otherwise it is by evolution."""
MIN_GAIN = 1e-4
"""Minimum gain that counts as one, relative to the hypervolume."""
WINDOW = 40
"""Number of latest trials from which the gains per trial of surrogate and evolution are estimated."""
PRIOR_TRIALS = 4
"""Weight, in trials, of the assumption that evolution gains as often as the surrogate."""


class Turn(StrEnum):
    """Method that proposed a plan. The value is the beginning of the origin of its trial."""

    SURROGATE = "expected to add"
    EVOLUTION = "evolution"
    COVERAGE = "coverage"


def turn_of(trial: Observation) -> Turn | None:
    """Return how the plan of a trial was found; None for baselines, scans and resumed trials."""
    return next((turn for turn in Turn if trial.origin.startswith(turn)), None)


@dataclass(frozen=True)
class Standing:
    """State of the search, from which the next turn is drawn."""

    idle: float
    """0 while the surrogate's proposals gain; tends to 1 with the number of its latest proposals without a gain."""
    others: float
    """Probability that the next turn is not the surrogate's, from 0 to `MAX_OTHERS`."""
    gainless: int = 0
    """Number of the surrogate's latest proposals without a gain."""


def draw_turn(others: float, rng: np.random.Generator) -> Turn:
    """Draw how the next plan is found.

    Args:
        others: `Standing.others`.
        rng: source of the draws.
    """
    if rng.random() >= others:
        return Turn.SURROGATE
    return Turn.COVERAGE if rng.random() < COVERAGE else Turn.EVOLUTION


def standing(history: Sequence[Observation], focus: Focus) -> Standing:
    """Return the state of the search, from the gains of its trials in the focus; running trials are ignored."""
    trials = [trial for trial in history if trial.accuracies or trial.state != "running"]
    turns, gained = [turn_of(trial) for trial in trials], gainful(trials, focus)
    own = [gain for turn, gain in zip(turns, gained, strict=True) if turn is Turn.SURROGATE]
    idle = next((number for number, gain in enumerate(reversed(own)) if gain), len(own))
    beyond = max(0, idle - PATIENCE)
    waiting = beyond / (beyond + HALF_LIFE)
    latest = list(zip(turns, gained, strict=True))[-WINDOW:]
    ours = [gain for turn, gain in latest if turn is Turn.SURROGATE]
    theirs = [gain for turn, gain in latest if turn is Turn.EVOLUTION]
    rate = (sum(ours) + 1) / (len(ours) + 2)
    others = (sum(theirs) + PRIOR_TRIALS * rate) / (len(theirs) + PRIOR_TRIALS)
    return Standing(waiting, min(MAX_OTHERS, waiting * others / (others + rate)), idle)


def gainful(trials: Sequence[Observation], focus: Focus) -> list[bool]:
    """Return per trial, in order, True if it added at least `MIN_GAIN` of the hypervolume that there was with it."""
    added = np.array(gains(trials, focus))
    found: list[bool] = (added > MIN_GAIN * np.cumsum(added)).tolist()
    return found


def gains(trials: Sequence[Observation], focus: Focus) -> list[float]:
    """Return per trial, in order, what it added to the hypervolume of the full trials before it, in the focus."""
    costs: list[float] = []
    heights: list[float] = []  # the front so far: both increase
    found = []
    for trial in trials:
        gain = 0.0
        accuracy, cost = trial.accuracy, trial.flops_ratio
        if trial.full and accuracy is not None and accuracy > focus.min_accuracy and cost < REFERENCE[1]:
            gain = _insert(costs, heights, cost, accuracy, focus.min_accuracy)
        found.append(gain)
    return found


def _insert(costs: list[float], heights: list[float], cost: float, accuracy: float, floor: float) -> float:
    """Insert a point into a front and return the hypervolume that it adds.

    Args:
        costs, heights: FLOPs ratios and accuracies of the front, both ascending; changed in place.
        cost, accuracy: the point.
        floor: accuracy below which no hypervolume counts.
    """
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
