"""What an export is asked to be, as plain values. Imports no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from workers.requests import TrialRequest, Value


class ExportRequest(Value):
    """One plan to export, and what its folder shall say about it."""

    trial: TrialRequest
    """The plan, and the model, data, metric, workload, threads and mapping module that it was searched with."""
    fingerprints: dict[str, str] = Field(default_factory=dict)
    """Those stored with the run; empty checks nothing."""
    record: dict[str, Any] = Field(default_factory=dict)
    """Goes into plan.json and the card as it is: run, trial, why it was chosen, metrics, origin."""
    drawing: tuple[str, ...] = ()
    """The plan drawn, and the legend below: lines for the card."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the weights on disk; `auto` is what the search ran in, so that the logits are equal."""
    form: str = "auto"
    """See `workers.export.route.FORMATS`."""
    questions: int | None = None
    """How many questions of the test split the export answers before it is called done; None is all."""
    timings: str | None = None
    """Folder of the run where wall-clock times are kept, so that a second export repeats the first one's numbers
    instead of measuring a machine in another mood."""
