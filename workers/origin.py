"""Where a number comes from: stored with every result."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from workers.requests import TrialRequest
from workers.session import Session

PACKAGES = ("skipsearch", "torch", "transformers", "tokenizers", "numpy")


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
    }


@cache
def versions() -> dict[str, str]:
    """Python and the packages that results depend on; what isn't installed is left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def commit() -> str | None:
    """The git commit of this source tree, `-dirty` if it has changes; None outside a repository."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
