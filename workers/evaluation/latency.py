"""Measures the wall-clock time of prefill and of one decode step for a single question."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median, quantiles
from time import perf_counter

import torch

from workers.inference.prepare import Prepared
from workers.models.loaded_model import LoadedModel

WARM_UP = 3
"""Number of runs before timing."""
REPEATS = 20
"""Number of timed runs."""


@torch.inference_mode()
def time_latency(loaded: LoadedModel, prepared: Prepared) -> dict[str, float]:
    """Return the median and interquartile range of the latency, in seconds, on the first question of the split.

    The prefill runs mapping module, decoder and LM head from cached vision outputs to the first token. A decode step
    computes one further token with the KV cache. The device is synchronized before and after each run.

    Returns:
        `prefill_median`, `prefill_iqr`, `decode_median` and `decode_iqr`.
    """
    prefill, decode_one = prepared.steps(loaded)
    return {**_timed("prefill", prefill, loaded.device), **_timed("decode", decode_one, loaded.device)}


def _timed(name: str, run: Callable[[], None], device: torch.device) -> dict[str, float]:
    for _ in range(WARM_UP):
        run()
    seconds = []
    for _ in range(REPEATS):
        _synchronize(device)
        start = perf_counter()
        run()
        _synchronize(device)
        seconds.append(perf_counter() - start)
    low, _, high = quantiles(seconds, n=4)
    return {f"{name}_median": median(seconds), f"{name}_iqr": high - low}


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
