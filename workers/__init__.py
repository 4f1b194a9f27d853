"""Loads the model once and runs trials: apply a plan, tune the projector, evaluate, measure, export."""

import os
from pathlib import Path
from typing import Any

# Read when torch loads OpenMP, so it must stand before any import of torch. OpenMP's threads spin while they wait;
# on a machine that others use too, a spinning thread holds the core that the thread it waits for needs. Measured
# on two busy cores: ten tuning steps in 3.6 s instead of 44.8 s.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__all__ = ["load_exported"]


def load_exported(folder: str | Path, **options: Any) -> tuple[Any, Any]:
    """Return model and processor of a folder written by `search.export`, without remote code.

    Args:
        folder: the exported folder.
        **options: passed to `from_pretrained` of the model.

    Raises:
        ExportError: the folder is not an export.
    """
    from workers.export.load_exported import load_exported as load  # imports torch, which most modules here do not

    return load(folder, **options)
