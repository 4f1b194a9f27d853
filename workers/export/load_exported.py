"""Loads an exported folder without remote code, with the modeling files of this package."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from workers.export.route import ExportError
from workers.models.model_files import read_json

OWN = ("modeling_skipsearch", "modeling_decilm", "modeling_routed")
"""Modeling files of this package."""


def load_exported(folder: str | Path, **options: Any) -> tuple[Any, Any]:
    """Return the model of an export, in evaluation mode, and its processor (the tokenizer of a language model).

    Args:
        folder: the exported folder.
        **options: keyword arguments of the model's `from_pretrained`; `trust_remote_code=True` for a base model that
            came with code of its own.

    Raises:
        ExportError: the folder has no plan.json.
    """
    import transformers

    folder = Path(folder)
    if not (folder / "plan.json").is_file():
        raise ExportError(
            f"an exported folder must have a plan.json, got {folder} without one: write it with python -m search.export"
        )
    config = read_json(folder / "config.json")
    loaders = config.get("auto_map", {})
    heads = ("AutoModelForImageTextToText", "AutoModelForCausalLM")  # AutoModel is for servers: it has no LM head
    loader = next((name for name in heads if name in loaders), heads[0])
    kind: Any = getattr(transformers, loader)
    module, _, name = loaders.get(loader, "").partition(".")
    if module in OWN:
        kind = getattr(import_module(f"workers.export.{module}"), name)
        # A tokenizer reads the config, and on a type that it does not know it wants to run the folder's code.
        transformers.AutoConfig.register(config["model_type"], kind.config_class, exist_ok=True)
    reader = transformers.AutoTokenizer if loader == "AutoModelForCausalLM" else transformers.AutoProcessor
    trusted = options.get("trust_remote_code")
    return kind.from_pretrained(folder, **options).eval(), reader.from_pretrained(folder, trust_remote_code=trusted)
