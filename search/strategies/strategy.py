"""The seam between a strategy and the search: observations in, one proposal out."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import numpy as np

from spaces.constraints import Limit, is_feasible
from spaces.plan import Plan
from spaces.spaces import Space
from workers.requests import Importance


@dataclass(frozen=True)
class Focus:
    """The part of the front that effort goes to; all of it by default."""

    min_accuracy: float = 0.0
    min_flops: float = 0.0
    """Ratio to the dense model's FLOPs, as the next."""
    max_flops: float = 1.0

    def spans(self, flops_ratio: float) -> bool:
        """Return True if a plan of that cost may lie in it."""
        return self.min_flops <= flops_ratio <= self.max_flops

    def holds(self, observation: "Observation") -> bool:
        """Return True if a trial lies in it, by the highest rung it has finished."""
        accuracy = observation.accuracy
        return accuracy is not None and accuracy >= self.min_accuracy and self.spans(observation.flops_ratio)


def focus_above_floor(focus: Focus, history: "Sequence[Observation]") -> Focus:
    """Return the part of a focus that lies above the floor, once the history holds it."""
    floor = next((trial.floor for trial in history if trial.floor is not None), None)
    if floor is None:
        return focus
    return replace(focus, min_accuracy=max(focus.min_accuracy, math.nextafter(floor, math.inf)))


@dataclass(frozen=True)
class Task:
    """What is known before anything is measured: all of it closed form."""

    space: Space
    budget: int
    """Trials in all, baselines included."""
    flops_ratio: Callable[[Plan], float]
    """FLOPs of any plan as a share of the dense model's."""
    limits: tuple[Limit, ...] = ()
    seed: int = 0
    """For strategies that must draw the same numbers at every ask."""
    keep_fraction: float = 1.0
    """Share of the trials at a rung that goes on to the next, see `search.strategies.promotion`."""
    first: tuple[tuple[str, Plan], ...] = ()
    """Origin and plan of what is tried right after the dense plan: warm starts."""
    focus: Focus = Focus()
    """A wish, where `limits` are a must."""

    def feasible(self, plan: Plan) -> bool:
        """Return True if a plan keeps every limit."""
        return is_feasible(plan, self.limits)


class Signal(StrEnum):
    """What a strategy may read beside accuracies; workers measure it for those alone that say so."""

    MARGINS = "margins"
    """Of every trial; takes one further pass over the questions of the cheapest rung."""
    IMPORTANCE = "importance"
    """Of the dense trial alone, once a search; takes three such passes, of one question a sequence."""


@dataclass(frozen=True)
class Observation:
    """What is known of one trial."""

    number: int
    plan: Plan
    origin: str
    state: str
    """`running`, `complete`, `stopped` or `failed`."""
    flops_ratio: float
    accuracies: tuple[float, ...] = ()
    """Accuracy at every rung it has finished, cheapest first."""
    full: bool = False
    """Whether it finished the last rung: only then may it enter the front."""
    margins: tuple[float, ...] | None = None
    """By how much the right answer to every question of the cheapest rung is likelier than the next best
    (`workers.evaluation.margins`), in nats; None where they are not measured. They predict untried plans better than
    accuracies do, and decide nothing."""
    floor: float | None = None
    """Accuracy that is reached without the pictures, where the trial measured it: the dense one does."""
    importance: Importance | None = None
    """How much attention and FFN of every block matter for the right answers, at the cheapest rung: what gates on
    them win (`workers.evaluation.importance`). None where it is not measured."""

    @property
    def accuracy(self) -> float | None:
        """Accuracy at the highest rung finished: the best that is known of the plan."""
        return self.accuracies[-1] if self.accuracies else None

    @property
    def point(self) -> tuple[float, float] | None:
        """Return (accuracy, FLOPs ratio), or None where nothing was measured."""
        return None if self.accuracy is None else (self.accuracy, self.flops_ratio)


@dataclass(frozen=True)
class Proposal:
    """A plan to try, and why."""

    plan: Plan
    origin: str
    """Who proposes it, read in logs and the dashboard: `scan b@3`, `mutation of 17`."""
    probe: bool = False
    """A probe stops after the cheapest rung: it is asked for what it teaches, not for the front."""
    resumes: int | None = None
    """Number of an ended trial of the same plan that was stopped below the last rung: this one goes on from there, to
    the last rung."""


class Strategy(Protocol):
    """Proposes plans. What it knows is in `history`, so a search can be taken up again by anybody.

    One that has an attribute `reads`, a set of `Signal`, is given those in its observations; one that has a
    `pattern_share` starts after as many hand-made patterns as fit into that share of the budget, not a quarter, and no
    more than `most_patterns` where it has that. One for which the budget decides only what it starts with
    says so by `start`, these plans.
    """

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        """Return the next proposal.

        Args:
            history: all trials so far, by number; running ones included, without accuracies.
            rng: seeded with the search's seed and the number of this proposal, so that a search repeats itself.

        The caller refuses a plan it has seen and asks again, with another state of `rng`.
        """
        ...
