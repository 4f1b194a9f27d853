"""The interface between a strategy and the search: observations in, one proposal out."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import numpy as np

from spaces.constraints import Limit, is_feasible
from spaces.plan import Plan
from spaces.spaces import Space
from workers.reports import Importance


@dataclass(frozen=True)
class Focus:
    """The part of the Pareto front that the search concentrates on; by default the whole front."""

    min_accuracy: float = 0.0
    """Lowest accuracy of interest, in [0, 1]."""
    min_flops: float = 0.0
    """Lowest FLOPs of interest, as a ratio to the dense model's."""
    max_flops: float = 1.0
    """Highest FLOPs of interest, as a ratio to the dense model's."""

    def spans(self, flops_ratio: float) -> bool:
        """Return True if a plan with this ratio of FLOPs may lie in the focus."""
        return self.min_flops <= flops_ratio <= self.max_flops

    def holds(self, observation: "Observation") -> bool:
        """Return True if a trial lies in the focus, judged by its accuracy at the highest rung it has finished."""
        accuracy = observation.accuracy
        return accuracy is not None and accuracy >= self.min_accuracy and self.spans(observation.flops_ratio)


def focus_above_floor(focus: Focus, history: "Sequence[Observation]") -> Focus:
    """Return the part of a focus that lies above the floor; the focus itself while no trial has measured the floor."""
    dense = next((trial for trial in history if trial.plan.is_dense), None)  # the first trial, as a rule
    if dense is None or dense.floor is None:
        return focus
    return replace(focus, min_accuracy=max(focus.min_accuracy, math.nextafter(dense.floor, math.inf)))


@dataclass(frozen=True)
class Task:
    """What a strategy knows before anything is measured: space, budget, limits, and the FLOPs of any plan."""

    space: Space
    budget: int
    """Total number of trials, baselines included."""
    flops_ratio: Callable[[Plan], float]
    """Returns the FLOPs of a plan as a ratio to the dense model's."""
    limits: tuple[Limit, ...] = ()
    """Hard constraints that every plan on the front must keep."""
    seed: int = 0
    """Seed of the search, for strategies that must draw the same numbers in every call of `ask`."""
    keep_fraction: float = 1.0
    """Fraction of the trials at a rung that continue with the next rung, see `search.strategies.promotion`."""
    first: tuple[tuple[str, Plan], ...] = ()
    """(origin, plan) of the warm starts: the plans tried right after the dense plan."""
    focus: Focus = Focus()
    """The preferred part of the front; a soft constraint, unlike `limits`."""
    is_additive: bool = True
    """True if the FLOPs that the changes of blocks save add up."""
    runs_as: Callable[[Plan], Plan] = lambda plan: plan
    """Returns a plan without the changes that its export can't hold or does not save, as `--deploy` says."""

    def feasible(self, plan: Plan) -> bool:
        """Return True if a plan keeps all limits."""
        return is_feasible(plan, self.limits)


class Signal(StrEnum):
    """A measurement besides accuracy; workers only take it for strategies that name it in `reads`."""

    MARGINS = "margins"
    """Margin of each right answer, for every trial; costs one further pass over the questions of the cheapest rung."""
    IMPORTANCE = "importance"
    """Importance of each sub-layer, for the dense trial only; costs three passes over the questions of the cheapest
    rung, one question per sequence."""


@dataclass(frozen=True)
class Observation:
    """One trial as a strategy sees it."""

    number: int
    plan: Plan
    origin: str
    state: str
    """`running`, `complete`, `stopped` or `failed`."""
    flops_ratio: float
    accuracies: tuple[float, ...] = ()
    """Accuracy at every rung it has finished, cheapest first."""
    full: bool = False
    """True if the trial has finished the last rung; only then may it enter the front."""
    margins: tuple[float, ...] | None = None
    """Per question of the cheapest rung: log-probability of the right answer minus that of the best wrong answer, in
    nats (`workers.evaluation.margins`); None if not measured. Surrogates learn from margins; they never decide whether
    a trial is on the front."""
    floor: float | None = None
    """Accuracy without looking at the images; measured by the dense trial only, None elsewhere."""
    importance: Importance | None = None
    """Per block, the importance of its attention and of its FFN for the right answers of the cheapest rung
    (`workers.evaluation.importance`); None if not measured."""

    @property
    def accuracy(self) -> float | None:
        """Return the accuracy at the highest rung finished, the best estimate; None if no rung is finished."""
        return self.accuracies[-1] if self.accuracies else None

    @property
    def point(self) -> tuple[float, float] | None:
        """Return (accuracy, FLOPs ratio), or None if no rung is finished."""
        return None if self.accuracy is None else (self.accuracy, self.flops_ratio)


@dataclass(frozen=True)
class Proposal:
    """A plan to try, and the reason for it."""

    plan: Plan
    origin: str
    """Origin of the plan, for logs and the dashboard: `scan b@3`, `mutation of 17`."""
    probe: bool = False
    """If True, the trial stops after the cheapest rung: it is run for information, not for the front."""
    resumes: int | None = None
    """Number of an earlier trial of the same plan that was stopped before the last rung; the new trial continues it up
    to the last rung."""


class Strategy(Protocol):
    """Proposes plans. All state is derived from `history`, so that any process can resume the search.

    Optional attributes of a strategy:
        reads (set of `Signal`): measurements that its observations must contain.
        pattern_share (float): fraction of the budget that the hand-made patterns may take before the strategy proposes
            its first plan; `PATTERN_SHARE` by default.
        most_patterns (int): maximum number of hand-made patterns; no maximum by default.
        start (tuple of `Plan`): the first plans it proposes. A strategy that has it must depend on the budget in no
            other way.
    """

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        """Return the next proposal.

        If the plan was tried before, the caller rejects it and calls again, with another state of `rng`.

        Args:
            history: all trials so far, in the order of their numbers; running trials have no accuracies yet.
            rng: seeded with the search's seed and the number of this proposal, so that a search is reproducible.
        """
        ...
