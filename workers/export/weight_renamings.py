"""Lets a subclass of a model of transformers read checkpoints of that model.

transformers looks the renamings of weights up by the names of its own classes only.
"""

from __future__ import annotations

from typing import Any

from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping


def rename_as(base: type, name: str, model_type: str) -> None:
    """Register the weight renamings of a model class for its subclass.

    Args:
        base: the class of transformers.
        name: name of the subclass.
        model_type: model type of the config of the subclass.
    """
    config_class: Any = base.config_class  # type: ignore[attr-defined]
    for stock, ours in {base.__name__: name, config_class.model_type: model_type}.items():
        renamings = get_checkpoint_conversion_mapping(stock)
        if renamings is not None:
            register_checkpoint_conversion_mapping(ours, renamings, overwrite=True)
