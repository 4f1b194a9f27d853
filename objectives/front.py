"""The front of a search: which finished trials count within the limits, and which of these none dominates."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from objectives.objectives import MAXIMIZE
from objectives.pareto import non_dominated

T = TypeVar("T")
Point = tuple[float, float]
"""(accuracy on the search split, FLOPs over those of the dense model)."""


@dataclass(frozen=True)
class FrontLimits:
    """What a finished trial must keep to count."""

    max_flops: float | None = None
    """Largest FLOPs ratio that counts; None sets no limit."""
    min_accuracy: float | None = None
    """Smallest accuracy that counts; None sets no limit."""
    floor: float | None = None
    """Accuracy that is reached without looking at the picture; only more than that counts. None is not measured."""

    @classmethod
    def of(cls, settings: Mapping[str, Any], floor: float | None = None) -> "FrontLimits":
        """Return the limits of a run from its stored settings and the floor that it measured."""
        return cls(settings.get("max_flops"), settings.get("min_accuracy"), floor)

    @property
    def least_accuracy(self) -> float:
        """The smallest accuracy that counts, floor and `min_accuracy` together."""
        above = 0.0 if self.floor is None else math.nextafter(self.floor, math.inf)
        return max(self.min_accuracy or 0.0, above)

    def __str__(self) -> str:
        parts = {
            "at most {:g} of the dense FLOPs": self.max_flops,
            "an accuracy of at least {:g}": self.min_accuracy,
            "an accuracy above the floor, {:.4g}": self.floor,
        }
        return " and ".join(text.format(value) for text, value in parts.items() if value is not None) or "no limits"

    def shortfall(self, accuracy: float) -> dict[str, float]:
        """Return by how much an accuracy misses each limit on it that is set; at most 0 where it is kept."""
        if self.min_accuracy is None and self.floor is None:
            return {}
        return {"--min-accuracy": self.least_accuracy - accuracy}

    def keeps(self, point: Point) -> bool:
        """Return True if a finished trial with this point counts."""
        accuracy, flops_ratio = point
        return accuracy >= self.least_accuracy and (self.max_flops is None or flops_ratio <= self.max_flops)


def within(trials: Iterable[T], point: Callable[[T], Point], limits: FrontLimits) -> list[T]:
    """Return the trials that count, in their order.

    Args:
        trials: finished trials, in any form.
        point: accuracy and FLOPs ratio of a trial.
        limits: what a trial must keep.
    """
    return [trial for trial in trials if limits.keeps(point(trial))]


def front(trials: Iterable[T], point: Callable[[T], Point], limits: FrontLimits) -> list[T]:
    """Return the trials within the limits that no other of these dominates, the cheapest first.

    The arguments are those of `within`. Trials with equal points are all kept.
    """
    kept = within(trials, point, limits)
    mask = non_dominated([point(trial) for trial in kept], MAXIMIZE)
    return sorted((trial for trial, keep in zip(kept, mask, strict=True) if keep), key=lambda trial: point(trial)[1])
