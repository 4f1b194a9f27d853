"""Writes the config of an export in the form of the base model's `config.json`, with the values that the plan changes.

transformers writes configs in another form than published checkpoints have: a text config below `text_config`, rotary
settings below `rope_parameters`. Engines read the published form, and use defaults for keys that they do not find.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

Config = dict[str, Any]


def write_base_form(folder: Path, raw: Config, base: Any, built: Any) -> None:
    """Rewrite the `config.json` of an exported folder in the form of the base's, if that form is known.

    Args:
        folder: the exported folder.
        raw: content of the base's `config.json`.
        base: config of the loaded base model.
        built: config of the exported model, of the same class.
    """
    form = base_form(raw, base, built)
    if form is not None:
        (folder / "config.json").write_text(json.dumps(form, indent=2) + "\n", encoding="utf-8")


def base_form(raw: Config, base: Any, built: Any) -> Config | None:
    """Return the base's `config.json` with the changed values; None if it has no text settings or is quantized.

    Args:
        raw: content of the base's `config.json`; not changed.
        base: config of the loaded base model.
        built: config of the exported model, of the same class.
    """
    form = copy.deepcopy(raw)
    before, after = (config.get_text_config().to_dict() for config in (base, built))
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    places = _text_places(form, base)
    if not places or "quantization_config" in raw:
        return None
    nested = places[-1]
    nested |= {name: value for name, value in changed.items() if name not in ("dtype", "transformers_version")}
    for place in places[:-1]:  # a form that repeats some text settings at the root
        place |= {name: value for name, value in changed.items() if name in place}
    form.setdefault("architectures", [type(built).__name__.removesuffix("Config")])
    dtype = str(built.dtype).removeprefix("torch.")
    for place in (form, *places):
        for name in {"dtype", "torch_dtype"} & set(place):
            place[name] = dtype
    if not {"dtype", "torch_dtype"} & set(form):
        form["dtype"] = dtype
    return form


def _text_places(form: Config, base: Any) -> list[Config]:
    """Return the objects of a config that hold text settings; the last one holds all of them."""
    text = base.get_text_config()
    names = [name for name in base.sub_configs if getattr(base, name, None) is text]
    nested = [form[name] for name in names if isinstance(form.get(name), dict)]
    if nested:
        return [form, nested[0]]
    return [form] if "num_hidden_layers" in form and "hidden_size" in form else []
