"""Runs the passes of a workload to be timed: the prefill of a batch of prompts, and decode steps with the KV cache.

The passes are those of the model's own `forward`, with the inputs that its `generate` prepares. The prompts are a
question of the data set, shortened or repeated until it has as many tokens as the workload.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import torch

from objectives.latency import LatencyError, Seconds
from objectives.workload import Workload
from workers.data.sample import Sample
from workers.inference.stepwise import Talk
from workers.models.loaded_model import LoadedModel
from workers.models.processor import on_device

MAX_STEPS = 16
"""Maximum number of decode steps that are timed per turn; of a longer answer, those in its middle."""
MAX_SAMPLES = 16
"""Maximum number of samples that are tried for a prompt of the right length."""
TOLERANCE = 0.1
"""Maximum relative difference between the prompt tokens of the workload and those of the prompt that runs."""


class TimedPasses:
    """The passes of one workload on a loaded model; a plan may be applied between two turns."""

    def __init__(self, loaded: LoadedModel, samples: Sequence[Sample], workload: Workload) -> None:
        """Prepare the prompts, with no plan applied.

        Args:
            loaded: the model.
            samples: questions of the data set; the first that fits the workload, of those with the nearest number of
                images, is used.
            workload: tokens per request, and the number of requests in a batch.

        Raises:
            LatencyError: no prompt of about the workload's length can be made.
        """
        self._loaded, self._workload = loaded, workload
        question, sample, self.prompt_tokens = _prompt(loaded, samples, workload)
        inputs = _inputs(loaded, [question] * workload.batch, sample)
        self._inputs = on_device(inputs, loaded.device, loaded.model.dtype)
        steps = math.ceil(workload.decode_steps)
        self.steps = min(max(steps, 1), MAX_STEPS)
        self._lead = max(steps - self.steps, 0) // 2
        self._token = self._inputs["input_ids"][:, -1:]
        replay = loaded.replay
        self._recording = replay.record(self._inputs) if replay.modules else None
        self._talk = Talk(loaded, self._inputs)

    def turn(self) -> Seconds:
        """Return the seconds of one prefill from the outputs of the vision tower, and of a decode step after it."""
        with torch.inference_mode():
            with self._replayed():
                prefill = self._timed(self._talk.prefill)
            if self._lead:
                self._talk.feed(self._token.expand(-1, self._lead))
            decode = self._timed(partial(_repeat, self.steps, lambda: self._talk.feed(self._token)))
        return Seconds(prefill, decode / self.steps)

    def vision(self, turns: int) -> float:
        """Return the seconds of the vision tower: the median difference of prefills with it and without it.

        Args:
            turns: number of prefills of each kind, which take turns.
        """
        if self._recording is None:  # every prefill runs the tower
            return 0.0
        differences = []
        with torch.inference_mode():
            for _ in range(turns):
                whole = self._timed(self._talk.prefill)
                with self._replayed():
                    differences.append(whole - self._timed(self._talk.prefill))
        return max(median(differences), 0.0)

    def total(self, seconds: Seconds, vision: float) -> float:
        """Return the seconds of the whole workload.

        Args:
            seconds: those of the passes.
            vision: those of the vision tower.
        """
        return vision + seconds.prefill + self._workload.decode_steps * seconds.decode

    def _replayed(self) -> AbstractContextManager[None]:
        return nullcontext() if self._recording is None else self._loaded.replay.put_in(self._recording)

    def _timed(self, run: Callable[[], Any]) -> float:
        _synchronize(self._loaded.device)
        start = perf_counter()
        run()
        _synchronize(self._loaded.device)
        return perf_counter() - start


def _repeat(times: int, run: Callable[[], Any]) -> None:
    for _ in range(times):
        run()


def _inputs(loaded: LoadedModel, questions: Sequence[str], sample: Sample) -> dict[str, Any]:
    return loaded.prompt_encoder.inputs(questions, [sample.images] * len(questions))


def _prompt(loaded: LoadedModel, samples: Sequence[Sample], workload: Workload) -> tuple[str, Sample, int]:
    """Return question, sample and prompt tokens of the first sample that fits a workload.

    Raises:
        LatencyError: no sample does.
    """
    wanted, found = workload.prompt_tokens, []
    for sample in sorted(samples, key=lambda each: abs(len(each.images) - workload.images))[:MAX_SAMPLES]:
        question = _fitted(loaded, sample, round(wanted))
        found.append(_length(loaded, question, sample))
        if abs(found[-1] - wanted) <= max(1.0, TOLERANCE * wanted):
            return question, sample, found[-1]
    nearest = min(found, key=lambda tokens: abs(tokens - wanted))
    raise LatencyError(
        f"a prompt of {wanted:g} tokens must be possible, got {nearest} with images and question: change text in "
        "--workload"
    )


def _length(loaded: LoadedModel, question: str, sample: Sample) -> int:
    return int(_inputs(loaded, [question], sample)["input_ids"].shape[1])


def _fitted(loaded: LoadedModel, sample: Sample, tokens: int) -> str:
    """Return the question of a sample with its first words, or with its words repeated, nearest to a prompt length."""
    words = sample.question.split() or ["?"]

    def length(count: int) -> int:
        return _length(loaded, _words(words, count), sample)

    low, high = 1, max(len(words), 1)
    while length(high) < tokens and high < 4 * max(tokens, 1):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if length(middle) <= tokens else (low, middle)
    return _words(words, min((low, high), key=lambda count: abs(length(count) - tokens)))


def _words(words: Sequence[str], count: int) -> str:
    return " ".join(words[index % len(words)] for index in range(count))


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
