"""Wall-clock of prefill and of one decode step for a single question, after warm-up, device synchronized."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median, quantiles
from time import perf_counter

import torch
from torch import Tensor
from transformers import DynamicCache

from workers.loading import LoadedModel
from workers.prepare import Prepared

WARM_UP = 3
REPEATS = 20


@torch.inference_mode()
def time_latency(loaded: LoadedModel, prepared: Prepared) -> dict[str, float]:
    """Median and interquartile range, in seconds, on the first question of the split.

    Prefill is projector, decoder and LM head from cached image features to the first token; a decode step is one
    further token with the KV cache.
    """
    (batch,) = prepared.packs(loaded, questions=1, per_image=1, tokens=1)
    caches: list[DynamicCache] = []

    def prefill() -> None:
        caches[:] = [DynamicCache(config=loaded.model.config.get_text_config())]
        hidden = loaded.read(batch, prepared.features, caches[0])
        loaded.head(hidden[:, -1])

    token = batch.input_ids[:, -1:]

    def decode() -> None:
        past = caches[0].get_seq_length()
        position = torch.full((1, 1), past, device=loaded.device)
        embeddings = loaded.model.get_input_embeddings()(token)
        loaded.head(loaded.decode(embeddings, _see_all(past + 1, embeddings), position, caches[0])[:, -1])

    return {**_timed("prefill", prefill, loaded.device), **_timed("decode", decode, loaded.device)}


def _see_all(keys: int, like: Tensor) -> Tensor:
    return torch.zeros(1, 1, 1, keys, dtype=like.dtype, device=like.device)


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
