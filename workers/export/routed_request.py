"""Defines the request of an export with a router. Imports no torch."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from workers.message import Message
from workers.requests import TrialRequest


class RoutedRequest(Message):
    """A router, its plans, and the points of its dial."""

    trials: tuple[TrialRequest, ...]
    """Per plan, in the order of the router: plan, model, data, metric, and tuned mapping module."""
    router: str
    """Path of the stored router."""
    ratios: tuple[float, ...]
    """Per plan, mean FLOPs of the search split, divided by those of the dense model."""
    dial: tuple[dict[str, Any], ...]
    """Points of the adaptive front, cheapest first: `flops_ratio` and `accuracy` on the search split, and `price` or
    `plan`, the index of one plan for all questions."""
    default: int
    """Index of the point of the dial that `generate` takes without a budget."""
    single: int
    """Index of the cheapest plan that is as accurate on the search split as the default point; timed beside it."""
    fingerprints: dict[str, str] = Field(default_factory=dict)
    """Fingerprints of model and data stored with the run."""
    record: dict[str, Any] = Field(default_factory=dict)
    """Facts to copy into routing.json."""
    questions: int | None = None
    """Number of questions of the test split that the check answers; None for all."""
