"""Collects the origin of a result, which is stored with it."""

from __future__ import annotations

import platform
from typing import Any

import torch

from workers.requests import TrialRequest
from workers.session import Session
from workers.software import commit, versions


def origin(request: TrialRequest, session: Session | None) -> dict[str, Any]:
    """Return the origin of a trial's results as JSON values.

    Args:
        request: the trial.
        session: the loaded model and data; None if loading failed, which leaves out device and fingerprints.
    """
    device = session.loaded.device if session else None
    return {
        "versions": versions(),
        "commit": commit(),
        "machine": platform.machine(),
        "device": name_of(device) if device else None,
        "threads": request.threads or torch.get_num_threads(),
        "seed": request.seed,
        "fingerprints": session.fingerprints if session else {},
        "metric": session.metric(request) if session else request.metric,
        "skipped_images": session.skipped_images() if session else {},
    }


def name_of(device: torch.device) -> str:
    """Return the name of the GPU that results are computed on, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
