"""Chooses the attention implementation of each part of a model: the requested one, or eager if a part lacks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
WHOLE = ""
"""Key of the model itself in an attention implementation per part."""
NO_SDPA = "does not support an attention implementation through torch.nn.functional.scaled_dot_product_attention"
"""Text of the error that transformers raises for a model, or a part of it, without sdpa attention."""

Attention = str | dict[str, str]
"""One implementation, or one per part of the config."""


def with_attention(config: Any, wanted: str, make: Callable[[Attention], T]) -> tuple[T, str | None]:
    """Build or load a model with the first attention implementation that it supports, preferably `wanted`.

    Args:
        config: config of the whole model.
        wanted: attention implementation, sdpa or eager.
        make: builds or loads the model; after a ValueError with the text `NO_SDPA` the next implementation is tried.

    Returns:
        The result of `make`, and a line for the user if a part has another implementation than `wanted`, else None.
    """
    text_only: dict[str, str] = {WHOLE: "eager", **dict.fromkeys(config.sub_configs, "eager"), **_text(config, wanted)}
    choices: list[tuple[Attention, str | None]] = [
        (wanted, None),
        (text_only, f"eager attention but for the text part, as another part has no {wanted}"),
    ]
    for attention, line in choices if _text(config, wanted) else choices[:1]:
        try:
            return make(attention), line
        except ValueError as error:
            if NO_SDPA not in str(error):
                raise
    return make("eager"), f"eager attention, as the model has no {wanted}"


def used_attention(config: Any) -> Attention:
    """Return the attention implementation of a loaded model, per part if its parts have different ones.

    Args:
        config: config of the whole model.
    """
    parts = {WHOLE: config, **{name: getattr(config, name) for name in config.sub_configs}}
    used = {name: str(part._attn_implementation) for name, part in parts.items() if part is not None}
    return used[WHOLE] if len(set(used.values())) == 1 else used


def _text(config: Any, wanted: str) -> dict[str, str]:
    text = config.get_text_config()
    return {name: wanted for name in config.sub_configs if getattr(config, name, None) is text}
