"""Durations of stored rungs and tests."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Duration of a rung or a test."""

    split: str
    rung: int
    flops_ratio: float
    questions: int
    tuning_steps: int
    seconds: Mapping[str, float]
    """Step -> seconds, as in a report of a rung."""


def timing_of(rung: Any) -> Timing:
    """Return the timing of a row of `rung_result`, or of the columns that are needed of one."""
    seconds = rung.metrics["seconds"]
    return Timing(rung.split, rung.rung, rung.flops_ratio, rung.questions, rung.tuning_steps, seconds)
