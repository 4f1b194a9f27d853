"""Prepares a split whose questions run through the model's own `forward` and `generate`, one per sequence.

Batches come from the processor, padded on the left, and are the same for every trial. The frozen vision tower runs
once per image, or once per batch if outputs cannot be separated by image; later passes replay its outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers.generation.stopping_criteria import EosTokenCriteria, MaxLengthCriteria

from spaces.scope import Group
from workers.blocks.token_groups import CODES, IGNORED, prompt_groups
from workers.data.sample import Sample
from workers.inference.check_finite import check_logits
from workers.inference.packed_split import AnswerStep
from workers.inference.stepwise import Talk
from workers.inference.token_budget import TokenBudget
from workers.models.loaded_model import LoadedModel, longest_answer
from workers.models.processor import on_device
from workers.models.prompt_forms import target
from workers.models.vision_replay import Recording, join, sketch


@dataclass(frozen=True)
class PlainBatch:
    """B questions as the processor prepares them, and optional answers."""

    inputs: dict[str, Any]
    """Model inputs padded on the left, on the model's device; pixels are a `sketch` if the vision part is replayed."""
    images: tuple[int, ...]
    answers: Tensor | None = None
    """(B, A) int64 token ids including end-of-sequence, padded with IGNORED on the right."""
    recording: Recording | None = None
    """Outputs of the vision part for this batch; None if they are recorded per image.

    Batches with questions about several images always have one, since families join images differently.
    """

    @property
    def targets(self) -> Tensor:
        """Return the tokens of the answers, (labeled positions,) int64."""
        assert self.answers is not None, "an answer batch has answers"
        return self.answers[self.answers != IGNORED]

    @property
    def order(self) -> Tensor:
        """Return the index of the question of each answer in `targets`, (B,) int64."""
        return torch.arange(len(self.images))


class PlainSplit:
    """A split prepared for the model, once for all trials; implements `Prepared`."""

    def __init__(self, loaded: LoadedModel, samples: Sequence[Sample]) -> None:
        self.samples = tuple(samples)
        numbers: dict[str, int] = {}
        self.images = tuple(numbers.setdefault(sample.image_id, len(numbers)) for sample in samples)
        self.answers = tuple(loaded.answer_tokens(target(sample)) for sample in samples)
        self.max_new_tokens = longest_answer(loaded, samples)
        self._recorded: dict[int, Recording] = {}
        self.budget = TokenBudget()
        self._batches: dict[tuple[int, int], PlainBatch] = {}
        """(rows per batch, number) -> batch."""
        first = loaded.prompt_encoder.inputs(*_questions_and_images(samples[:1]))
        self._prompt_tokens: int = first["input_ids"].shape[1]

    @property
    def _rows(self) -> int:
        """Return the number of questions per batch."""
        return max(1, self.budget.tokens // self._prompt_tokens)

    @torch.no_grad()
    def answer_ids(self, loaded: LoadedModel, questions: int) -> list[list[int]]:
        """Return the greedy answers of the model's `generate` as token ids, see `Prepared`."""
        ids: list[list[int]] = [[] for _ in range(questions)]
        for answer in self.answer_steps(loaded, questions):
            answer(ids)
        return ids

    def answer_steps(self, loaded: LoadedModel, questions: int) -> Iterator[AnswerStep]:
        """Yield a function per batch that writes greedy answers, see `Prepared`."""
        for number in range(-(-questions // self._rows)):
            yield partial(self._answer, loaded, number)

    @torch.no_grad()
    def _answer(self, loaded: LoadedModel, number: int, ids: list[list[int]]) -> None:
        """Append the answers to the questions of a batch, as far as there are lists for them."""
        first = number * self._rows
        for own, generated in zip(ids[first:], self._generate(loaded, self._batch(loaded, number)), strict=False):
            own += generated

    def answer_batch(
        self, loaded: LoadedModel, chosen: Sequence[int], per_image: int, answers: Sequence[str] | None = None
    ) -> PlainBatch:
        """Return a batch of the chosen samples with answers, one per sequence: `per_image` is ignored."""
        ids = [self.answers[i] for i in chosen] if answers is None else [*map(loaded.answer_tokens, answers)]
        longest = max(map(len, ids))
        rows = [[*answer, *[IGNORED] * (longest - len(answer))] for answer in ids]
        return self._make(loaded, chosen, torch.tensor(rows, device=loaded.device))

    def answer_logits(self, loaded: LoadedModel, batch: PlainBatch) -> Tensor:
        """Return the teacher-forced logits of the answer tokens, (labeled positions, vocabulary) float32."""
        answers = batch.answers
        assert answers is not None, "an answer batch has answers"
        with self._replayed(loaded, batch):
            talk = Talk(loaded, batch.inputs)
            logits = talk.prefill()[:, None]
        if answers.shape[1] > 1:
            fed = answers[:, :-1].masked_fill(answers[:, :-1] == IGNORED, loaded.pad_token)
            logits = torch.cat([logits, talk.feed(fed)], dim=1)
        return logits[answers != IGNORED].float()

    def rows(self, loaded: LoadedModel, batch: PlainBatch) -> list[tuple[Tensor, Tensor]]:
        """Return the (B, T) masks of rows without padding and their token groups, for prompts and then for answers."""
        prompts = batch.inputs["attention_mask"].bool(), prompt_groups(batch.inputs["input_ids"], loaded.image_tokens)
        assert batch.answers is not None, "an answer batch has answers"
        fed = batch.answers[:, 1:] != IGNORED
        codes = torch.full_like(batch.answers[:, 1:], CODES[Group.GENERATED])
        return [prompts, (fed, codes)] if fed.shape[1] else [prompts]

    def sequences_at_once(self, loaded: LoadedModel) -> int:
        """Return the number of questions per batch."""
        return self._rows

    def takes_the_likeliest(self, loaded: LoadedModel) -> bool:
        """Return True if `generate` takes the likeliest token at every step, until an end token or the length.

        Settings of the model, such as penalties, banned n-grams, forced tokens or stop strings, may prevent that.
        """
        rules: list[Any] = []

        def note(_model: Any, input_ids: Tensor, *, logits_processor: Any, stopping_criteria: Any, **_: Any) -> Tensor:
            others = [each for each in stopping_criteria if not isinstance(each, MaxLengthCriteria | EosTokenCriteria)]
            rules.append([*logits_processor, *others])
            return input_ids

        inputs = self._batch(loaded, 0).inputs
        loaded.model.generate(**inputs, **_greedy(loaded, self.max_new_tokens), custom_generate=note)
        return rules == [[]]

    def _batch(self, loaded: LoadedModel, number: int) -> PlainBatch:
        """Return the batch with this number, created at first use; batches are the same for all trials."""
        rows = self._rows
        if (rows, number) not in self._batches:
            for other in [other for other in self._batches if other[0] != rows]:
                del self._batches[other]  # of the budget before memory ran out
            first = number * rows
            chosen = range(first, min(first + rows, len(self.samples)))
            self._batches[rows, number] = self._make(loaded, chosen)
        return self._batches[rows, number]

    def _make(self, loaded: LoadedModel, chosen: Sequence[int], answers: Tensor | None = None) -> PlainBatch:
        samples = [self.samples[index] for index in chosen]
        images = tuple(self.images[index] for index in chosen)
        inputs = on_device(
            loaded.prompt_encoder.inputs(*_questions_and_images(samples)), loaded.device, loaded.model.dtype
        )
        if not loaded.replay.modules:
            return PlainBatch(inputs, images, answers)
        if not loaded.replay.per_image or any(len(sample.images) > 1 for sample in samples):
            return PlainBatch(sketch(inputs), images, answers, loaded.replay.record(inputs))
        for image, sample in zip(images, samples, strict=True):
            if image not in self._recorded:
                alone = on_device(
                    loaded.prompt_encoder.inputs(*_questions_and_images([sample])), loaded.device, loaded.model.dtype
                )
                self._recorded[image] = loaded.replay.record(alone)
        return PlainBatch(sketch(inputs), images, answers)

    @contextmanager
    def _replayed(self, loaded: LoadedModel, batch: PlainBatch) -> Iterator[None]:
        """Replay the recorded vision outputs for one pass over the batch, inside the `with` block."""
        recording = batch.recording
        if loaded.replay.modules and recording is None:
            recording = join([self._recorded[image] for image in batch.images])
        with loaded.replay.put_in(recording) if recording is not None else nullcontext():
            yield

    def _generate(self, loaded: LoadedModel, batch: PlainBatch) -> list[list[int]]:
        watch = loaded.head.register_forward_hook(lambda _, args, logits: check_logits(logits))
        try:
            with self._replayed(loaded, batch):
                generated = loaded.model.generate(**batch.inputs, **_greedy(loaded, self.max_new_tokens))
        finally:
            watch.remove()
        prompt = batch.inputs["input_ids"]
        if torch.equal(generated[:, : prompt.shape[1]], prompt):  # some families return the answer alone
            generated = generated[:, prompt.shape[1] :]
        return [_up_to_end(row, loaded.end_tokens) for row in generated.tolist()]


def _greedy(loaded: LoadedModel, tokens: int) -> dict[str, Any]:
    ends_by_text = loaded.model.generation_config.stop_strings is not None
    return {
        **({"tokenizer": loaded.processor.tokenizer} if ends_by_text else {}),
        "max_new_tokens": tokens,
        "do_sample": False,
        "return_dict_in_generate": False,
        "num_beams": 1,
        "eos_token_id": list(loaded.end_tokens),
        "pad_token_id": loaded.pad_token,
    }


def _questions_and_images(samples: Sequence[Sample]) -> tuple[list[str], list[Any]]:
    return [sample.question for sample in samples], [sample.images for sample in samples]


def _up_to_end(ids: list[int], end_tokens: Sequence[int]) -> list[int]:
    """Return the tokens up to and including the first end token."""
    last = next((index for index, token in enumerate(ids) if token in end_tokens), len(ids))
    return ids[: last + 1]
