"""Loads the model once and runs trials: apply a plan, tune the projector, evaluate, measure."""

from pathlib import Path
from typing import Any

__all__ = ["load_exported"]


def load_exported(folder: str | Path, **options: Any) -> tuple[Any, Any]:
    """Model and processor of a folder that `search.export` wrote, without remote code.

    `options` go to `from_pretrained` of the model. Raises ExportError where the folder is no export.
    """
    from workers.export.reading import load_exported as load  # brings torch, which most of this package does without

    return load(folder, **options)
