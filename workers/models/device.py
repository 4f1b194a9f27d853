"""Checks the name of a device before torch is imported."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path


def check_device(name: str) -> None:
    """Check that a worker on this machine can use a device.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:N`, or torch's name of another kind of device.

    Raises:
        ValueError: the name has another form, or it is CUDA and this machine has no driver for it.
    """
    if not re.fullmatch(r"auto|[a-z]+(:\d+)?", name):
        raise ValueError(f"--device must be auto, cpu, cuda or cuda:N, got {name[:60]!r}: leave it out for auto")
    if name.startswith("cuda") and not has_gpu():
        raise ValueError(f"--device {name} needs a GPU and its driver, which this machine lacks: use auto or cpu")


def has_gpu() -> bool:
    """Return True if a driver of NVIDIA or AMD devices, both of which torch calls CUDA, is loaded."""
    if Path("/dev/kfd").exists():
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
