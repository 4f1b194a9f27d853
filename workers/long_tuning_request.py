"""The request of a long tuning and the files that it leaves. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field

from workers.message import Message
from workers.requests import TrialRequest

MODULE, RECORD = "mapping_module.safetensors", "tuned.json"
"""Files of a finished tuning: the best weights, and what was measured."""


class LongTuning(Message):
    """The request of a long tuning."""

    trial: TrialRequest
    """The plan, model, data, metric and recipe, and the mapping module to start from; its rungs are not run."""
    steps: int = Field(2000, ge=1)
    """Maximum number of steps; the learning rate falls to 0 over them."""
    every: int = Field(100, ge=1)
    """Steps between two evaluations on the tune split, after each of which a checkpoint is written."""
    stop_after: int = Field(5, ge=1)
    """Number of evaluations in a row without a new best after which the tuning ends."""
    from_scratch: bool = False
    """If True, start from random weights."""


def tuned_folder(out: Path, number: int) -> Path:
    """Return the folder of the long tuning of a trial.

    Args:
        out: folder of the run.
        number: number of the trial.
    """
    return out / "tuned" / f"trial-{number:06d}"


def stored_tuning(folder: Path) -> dict[str, Any] | None:
    """Return the record of a finished tuning in a folder, or None."""
    file = folder / RECORD
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
