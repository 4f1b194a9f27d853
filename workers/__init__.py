"""Loads the model once and runs trials: apply a plan, tune the projector, evaluate, measure, export."""

import os
from pathlib import Path
from typing import Any

# Torch reads this when it loads OpenMP, so it must precede any import of torch. By default OpenMP's threads spin while
# they wait; on a busy machine a spinning thread occupies the core that the thread it waits for needs. Ten tuning steps
# on two busy cores: 3.6 s, 44.8 s with spinning threads.
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
