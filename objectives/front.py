"""Determines the front of a search: the finished trials within the limits that no other of them dominates."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from objectives.dominance import non_dominated
from objectives.intervals import paired_interval
from objectives.objectives import COST_NAMES, MAXIMIZE

T = TypeVar("T")
Point = tuple[float, float]
"""(accuracy on the search split, minimized cost divided by that of the dense model)."""


@dataclass(frozen=True)
class FrontLimits:
    """The limits that a finished trial must keep to be on the front."""

    max_flops: float | None = None
    """Maximum ratio of the minimized cost; None for no limit."""
    min_accuracy: float | None = None
    """Minimum accuracy; None for no limit."""
    floor: float | None = None
    """Accuracy reached without looking at the images, which must be exceeded; None if not measured."""
    cost: str = "FLOPs"
    """Name of the minimized cost."""

    @classmethod
    def of(cls, settings: Mapping[str, Any], origin: Mapping[str, Any], floor: float | None = None) -> "FrontLimits":
        """Return the limits of a run.

        Args:
            settings: stored settings of the run.
            origin: stored facts about the run; `max_cost` is the limit on the ratio of the minimized cost, which older
                runs lack.
            floor: measured floor.
        """
        most = origin.get("max_cost", settings.get("max_flops"))
        return cls(most, settings.get("min_accuracy"), floor, COST_NAMES[settings.get("minimize", "flops")])

    @property
    def least_accuracy(self) -> float:
        """Return the smallest accuracy that keeps both `min_accuracy` and the floor."""
        above = 0.0 if self.floor is None else math.nextafter(self.floor, math.inf)
        return max(self.min_accuracy or 0.0, above)

    def __str__(self) -> str:
        parts = {
            f"at most {{:g}} of the dense {self.cost}": self.max_flops,
            "an accuracy of at least {:g}": self.min_accuracy,
            "an accuracy above the floor, {:.4g}": self.floor,
        }
        return " and ".join(text.format(value) for text, value in parts.items() if value is not None) or "no limits"

    def shortfall(self, accuracy: float) -> dict[str, float]:
        """Return, by name of the limit, the amount by which an accuracy is below it; 0 or less if it is kept."""
        if self.min_accuracy is None and self.floor is None:
            return {}
        return {"--min-accuracy": self.least_accuracy - accuracy}

    def keeps(self, point: Point) -> bool:
        """Return True if a finished trial with this point keeps all limits."""
        accuracy, flops_ratio = point
        return accuracy >= self.least_accuracy and (self.max_flops is None or flops_ratio <= self.max_flops)


def within(trials: Iterable[T], point: Callable[[T], Point], limits: FrontLimits) -> list[T]:
    """Return the trials that keep the limits, in their order.

    Args:
        trials: finished trials, of any type.
        point: returns (accuracy, FLOPs ratio) of a trial.
        limits: the limits to keep.
    """
    return [trial for trial in trials if limits.keeps(point(trial))]


def front(trials: Iterable[T], point: Callable[[T], Point], limits: FrontLimits) -> list[T]:
    """Return the trials within the limits that no other of them dominates, cheapest first.

    Trials with equal points are all kept.

    Args:
        trials, point, limits: as in `within`.
    """
    kept = within(trials, point, limits)
    mask = non_dominated([point(trial) for trial in kept], MAXIMIZE)
    return sorted((trial for trial, keep in zip(kept, mask, strict=True) if keep), key=lambda trial: point(trial)[1])


def distinct(members: Sequence[T], scores: Callable[[T], Sequence[float]]) -> list[T]:
    """Return the members of a front that are more accurate than a cheaper one beyond chance.

    The cheapest is kept. Any other is kept if the paired 95 % interval of its difference to the last one kept lies
    above 0. Of a chain of small steps, those that have risen far enough are kept.

    Args:
        members: members of a front, cheapest first.
        scores: returns the scores of a member on the same questions as those of all others.
    """
    kept: list[T] = []
    for member in members:
        if not kept or paired_interval(scores(member), scores(kept[-1]))[0] > 0:
            kept.append(member)
    return kept
