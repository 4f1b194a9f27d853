"""Defines the request of an export. Imports no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from workers.message import Message
from workers.requests import TrialRequest


class ExportRequest(Message):
    """One plan to export, with the further content of its folder."""

    trial: TrialRequest
    """The plan, and the model, data, metric, workload, threads and mapping module that it was searched with."""
    fingerprints: dict[str, str] = Field(default_factory=dict)
    """Fingerprints of model and data stored with the run; those absent are not checked."""
    record: dict[str, Any] = Field(default_factory=dict)
    """Facts to copy into plan.json and the card: run, trial, reason for its selection, metrics, origin."""
    drawing: tuple[str, ...] = ()
    """Lines of the card with the drawing of the plan and its legend."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Dtype of the exported weights; `auto` is that of the search."""
    form: str = "auto"
    """Form of the export, one of `workers.export.route.FORMATS`."""
    questions: int | None = None
    """Number of questions of the test split that the check answers; None for all."""
    engines: tuple[str, ...] = ()
    """Engines besides transformers that the check runs (`workers.export.engines`); `auto` for all installed ones."""
    timings: str | None = None
    """Folder of the run in which wall-clock times are stored; None to store none. A repeated export uses the stored
    times, so that it gives the same numbers."""
