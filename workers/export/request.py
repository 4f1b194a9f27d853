"""The request of an export, as plain values. Imports no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from workers.requests import TrialRequest
from workers.value import Value


class ExportRequest(Value):
    """One plan to export, and additional content of its folder."""

    trial: TrialRequest
    """The plan, and the model, data, metric, workload, threads and mapping module that it was searched with."""
    fingerprints: dict[str, str] = Field(default_factory=dict)
    """Fingerprints stored with the run; nothing is checked if empty."""
    record: dict[str, Any] = Field(default_factory=dict)
    """Content to copy into plan.json and the card: run, trial, reason of the choice, metrics, origin."""
    drawing: tuple[str, ...] = ()
    """Lines of the card with the drawing of the plan and its legend."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Dtype of the weights on disk; `auto` is that of the search, for equal logits."""
    form: str = "auto"
    """See `workers.export.route.FORMATS`."""
    questions: int | None = None
    """Number of questions of the test split that the export answers in its check; None: all."""
    engines: tuple[str, ...] = ()
    """Engines that run the export besides transformers (`workers.export.engines`); `auto`: all that are installed."""
    timings: str | None = None
    """Folder of the run that stores wall-clock times.

    A second export then repeats the times of the first one instead of measuring again under another load.
    """
