"""The cores and the memory that this process may use, which can be fewer than the machine has. Imports no torch."""

import os
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
"""Folder of the limits of a container (cgroup v2)."""


def usable_cores(limits: Path = CGROUP) -> int:
    """Return the number of cores this process may use: those of the machine, its affinity, or its container's quota.

    Args:
        limits: folder of the container's limits.
    """
    # `sched_getaffinity` exists on Linux only.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _limit(limits / "cpu.max").partition(" ")
    return max(1, min(cores, int(quota) // int(period))) if quota.isdigit() and period.isdigit() else cores


def usable_memory(limits: Path = CGROUP) -> int:
    """Return the bytes that are available to this process, on the machine and within its container's limit.

    Args:
        limits: folder of the container's limits.
    """
    available: int = psutil.virtual_memory().available
    most, used = _limit(limits / "memory.max"), _limit(limits / "memory.current")
    return max(0, min(available, int(most) - int(used))) if most.isdigit() and used.isdigit() else available


def _limit(file: Path) -> str:
    """Return the text of a file of limits; empty where there is none."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""
