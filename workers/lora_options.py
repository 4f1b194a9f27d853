"""Parses the options of low-rank adapters: `lora`, or `lora:r=8,alpha=16`. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from spaces.names import unknown

LORA = "lora"
"""Value of `--trainable`, before a colon with options, for low-rank adapters."""


@dataclass(frozen=True)
class LoraOptions:
    """Rank and scale (alpha / rank) of low-rank adapters, after Hu et al. 2021 (arXiv 2106.09685)."""

    r: int = 8
    alpha: int = 16


def parse_lora(text: str) -> LoraOptions | None:
    """Return the options in `lora` or `lora:r=8,alpha=16`; None for any other text.

    Raises:
        ValueError: an option is unknown or not a positive number.
    """
    kind, _, options = text.partition(":")
    if kind != LORA:
        return None
    values = asdict(LoraOptions())
    for option in filter(None, options.split(",")):
        name, _, value = (part.strip() for part in option.partition("="))
        if name not in values:
            raise unknown("option of lora", name, values)
        if not value.isdigit() or int(value) < 1:
            raise ValueError(f"options of lora must be positive numbers, got {option!r}: write lora:r=8,alpha=16")
        values[name] = int(value)
    return LoraOptions(**values)
