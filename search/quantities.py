"""Parses quantities with a unit, such as `80ms` and `20GB`, and the workload of the command line."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from objectives.workload import Workload
from spaces.names import shown

SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
"""Unit -> seconds."""
BYTES = {"MB": 1e6, "GB": 1e9, "TB": 1e12, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40}
"""Unit -> bytes."""
WORKLOAD = {"text": "text_tokens", "generated": "generated_tokens", "batch": "batch"}
"""Name in `--workload` -> field of the workload. Images and their tokens are those of the data set."""


def parse_quantity(text: str, units: Mapping[str, float], option: str, example: str) -> float:
    """Return the value of a positive number with a unit.

    Args:
        text: the text, such as `80ms`.
        units: unit -> its value.
        option: name of the option, for the message.
        example: a valid text, for the message.

    Raises:
        ValueError: another form, an unknown unit, or a number that is not positive.
    """
    found = re.fullmatch(r"\s*([\d.]+(?:e[-+]?\d+)?)\s*([A-Za-z]+)\s*", str(text))
    try:
        value = float(found[1]) * units[found[2]] if found else math.nan
    except (KeyError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ValueError(
            f"{option} must be a number above 0 with a unit of {', '.join(units)}, got {shown(text)}: write {example}"
        )
    return value


def parse_latency(text: str) -> float:
    """Return the seconds of a text such as `80ms`.

    Raises:
        ValueError: it is not a time above 0.
    """
    return parse_quantity(text, SECONDS, "--max-latency", "80ms")


def parse_memory(text: str) -> float:
    """Return the bytes of a text such as `20GB`.

    Raises:
        ValueError: it is not a size above 0.
    """
    return parse_quantity(text, BYTES, "--max-memory", "20GB")


def latency_text(seconds: float) -> str:
    """Return a latency as text, in milliseconds."""
    return f"{1e3 * seconds:.6g} ms"


def memory_text(size: float) -> str:
    """Return a number of bytes as text, in megabytes or gigabytes."""
    return f"{size / 1e6:.4g} MB" if size < 1e9 else f"{size / 1e9:.4g} GB"


def parse_workload(text: str) -> dict[str, int]:
    """Return field -> whole number of a text such as `text=512,generated=64,batch=8`.

    Raises:
        ValueError: another form, an unknown name, or a number below 1.
    """
    parts = [part.strip().partition("=") for part in str(text).split(",")]
    for name, _, value in parts:
        if name not in WORKLOAD or not value.isdecimal() or int(value) < 1:
            raise ValueError(
                f"--workload must be NAME=NUMBER with names of {', '.join(WORKLOAD)} and whole numbers from 1, "
                f"got {shown(text)}: write text=512,generated=64,batch=8"
            )
    return {WORKLOAD[name]: int(value) for name, _, value in parts}


def with_stated(workload: Workload, text: str | None) -> Workload:
    """Return a workload with the numbers of `--workload`; the others stay those of the data set.

    Args:
        workload: means of the data set.
        text: text of the option; None to change nothing.
    """
    if text is None:
        return workload
    stated: dict[str, Any] = dict(parse_workload(text))
    if workload.extra_head_rows:  # the model computes the logits of the whole prompt
        stated["extra_head_rows"] = workload.visual_tokens + stated.get("text_tokens", workload.text_tokens) - 1
    return replace(workload, **stated)
