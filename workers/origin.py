"""Where a number comes from: stored with every result."""

from __future__ import annotations

import platform
from typing import Any

import torch

from workers.requests import TrialRequest
from workers.session import Session
from workers.software import commit, versions


def origin(request: TrialRequest, session: Session | None) -> dict[str, Any]:
    """Versions, commit, machine, device, threads, seed and, once something is loaded, fingerprints."""
    device = session.loaded.device if session else None
    return {
        "versions": versions(),
        "commit": commit(),
        "machine": platform.machine(),
        "device": _name(device) if device else None,
        "threads": request.threads or torch.get_num_threads(),
        "seed": request.seed,
        "fingerprints": session.fingerprints if session else {},
        "metric": session.metric(request) if session else request.metric,
        "skipped_images": session.skipped_images() if session else {},
    }


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
