"""Loads an exported folder without remote code: the modeling file of a plan is part of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workers.export import modeling_skipsearch
from workers.export.physical import MODELING_FILE
from workers.export.route import Badge, ExportError
from workers.files import read_json


def load_exported(folder: str | Path, **options: Any) -> tuple[Any, Any]:
    """Model, in evaluation mode, and processor of an export; `options` go to `from_pretrained` of the model.

    Raises ExportError where the folder is no export.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = Path(folder)
    if not (folder / "plan.json").is_file():
        raise ExportError(
            f"an exported folder must have a plan.json, got {folder} without one: write it with python -m search.export"
        )
    kind: Any = AutoModelForImageTextToText
    if read_json(folder / "plan.json")["badge"] == Badge.REMOTE:
        name = read_json(folder / "config.json")["auto_map"]["AutoModelForImageTextToText"]
        kind = getattr(modeling_skipsearch, name.removeprefix(f"{MODELING_FILE.stem}."))
    return kind.from_pretrained(folder, **options).eval(), AutoProcessor.from_pretrained(folder)
