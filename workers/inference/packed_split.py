"""Prepares a split with several questions packed per sequence, on image features that are encoded once.

It applies to models whose mapping module reads one tensor per image and whose decoder accepts a 4-D mask; this is
checked by `workers.inference.packing_check`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from workers.blocks.token_groups import IGNORED
from workers.data.sample import Sample
from workers.inference.packed_batch import PackedBatch, Tokenized, pack
from workers.inference.packed_decoding import answer_batch
from workers.inference.packed_forward import encode, read
from workers.inference.token_budget import TokenBudget
from workers.models.loaded_model import LoadedModel, longest_answer
from workers.models.processor import on_device
from workers.models.prompt_forms import target

IMAGES_AT_ONCE = 64
"""Number of images per batch of the vision tower."""
PER_IMAGE = 16
"""Maximum number of questions per pack."""
AnswerStep = Callable[[list[list[int]]], None]
"""Appends the answers to some questions to the lists of token ids, one list per question of the split."""


class Unpackable(ValueError):
    """The model or the images of a split do not allow packing."""


@dataclass(frozen=True)
class PackedSplit:
    """A split prepared for the model, once for all trials; implements `Prepared`."""

    samples: tuple[Sample, ...]
    items: tuple[Tokenized, ...]
    """One per sample, in the same order."""
    features: Tensor
    """(images, visual tokens, vision width) inputs of the mapping module."""
    max_new_tokens: int
    """Limit of generated tokens."""
    budget: TokenBudget = field(default_factory=TokenBudget)
    """Limits the tokens per batch."""
    _packs: dict[tuple[int, ...], list[PackedBatch]] = field(default_factory=dict, repr=False)

    @property
    def images(self) -> tuple[int, ...]:
        """Return the image number of each sample."""
        return tuple(item.image for item in self.items)

    def packs(self, loaded: LoadedModel, questions: int, per_image: int, tokens: int) -> list[PackedBatch]:
        """Return batches of packs on the model's device, cached for the next trial.

        Args:
            loaded: the model.
            questions: number of questions, from the first.
            per_image: maximum number of questions per pack.
            tokens: approximate number of tokens per batch.
        """
        key = (questions, per_image, tokens)
        if key not in self._packs:
            for other in [other for other in self._packs if other[:2] == key[:2]]:
                del self._packs[other]  # of the budget before memory ran out
            batches = pack(
                self.items[:questions],
                per_image,
                with_answers=False,
                image_token=loaded.image_token,
                pad_token=loaded.pad_token,
                batch_size=max(1, tokens // self._pack_tokens(loaded, per_image)),
            )
            self._packs[key] = [batch.to(loaded.device) for batch in batches]
        return self._packs[key]

    def _pack_tokens(self, loaded: LoadedModel, per_image: int) -> int:
        """Return the approximate tokens of a full pack: the longest prompt, plus its text per further question."""
        longest = max(len(item.prompt) for item in self.items)
        text = max(len(item.prompt) - item.prompt.count(loaded.image_token) for item in self.items)
        most = max(Counter(self.images).values())
        return longest + (min(per_image, most) - 1) * text

    @torch.inference_mode()
    def answer_ids(self, loaded: LoadedModel, questions: int) -> list[list[int]]:
        """Return the greedy answers as token ids, see `Prepared`; they equal those of `generate` on plain prompts."""
        ids: list[list[int]] = [[] for _ in range(questions)]
        for answer in self.answer_steps(loaded, questions):
            answer(ids)
        return ids

    def answer_steps(self, loaded: LoadedModel, questions: int) -> Iterator[AnswerStep]:
        """Yield a function per batch that writes greedy answers, see `Prepared`."""
        for batch in self.packs(loaded, questions, PER_IMAGE, self.budget.tokens):
            yield partial(answer_batch, loaded, self.features, batch, self.max_new_tokens)

    def answer_batch(
        self, loaded: LoadedModel, chosen: Sequence[int], per_image: int, answers: Sequence[str] | None = None
    ) -> PackedBatch:
        """Return one batch of packs of the chosen samples with their answers or the given ones, see `Prepared`."""
        items = [self.items[index] for index in chosen]
        if answers is not None:
            items = [replace(i, answer=loaded.answer_tokens(a)) for i, a in zip(items, answers, strict=True)]
        (batch,) = pack(
            items,
            per_image,
            with_answers=True,
            image_token=loaded.image_token,
            pad_token=loaded.pad_token,
            batch_size=len(items),
        )
        return batch.to(loaded.device)

    def answer_logits(self, loaded: LoadedModel, batch: PackedBatch) -> Tensor:
        """Return the logits of the answer tokens, (labeled positions, vocabulary) float32."""
        hidden = read(loaded, batch, self.features)
        logits: Tensor = loaded.head(hidden[batch.labels != IGNORED])
        return logits.float()

    def rows(self, loaded: LoadedModel, batch: PackedBatch) -> list[tuple[Tensor, Tensor]]:
        """Return the (B, T) mask of rows without padding and their token groups, of the single decoder pass."""
        return [(batch.segment >= 0, batch.groups(loaded.image_token))]

    def sequences_at_once(self, loaded: LoadedModel) -> int:
        """Return the number of questions per batch if each has its own sequence."""
        return max(1, self.budget.tokens // self._pack_tokens(loaded, 1))


def pack_split(loaded: LoadedModel, samples: Sequence[Sample]) -> PackedSplit:
    """Return a packed split; each distinct image is encoded once.

    Args:
        loaded: the model.
        samples: at least one sample.

    Raises:
        Unpackable: the model or the images do not allow packing.
    """
    _check_packable(loaded)
    if any(len(sample.images) > 1 for sample in samples):
        raise Unpackable("a question is about several images")
    first_of_image: dict[str, Sample] = {}
    for sample in samples:
        first_of_image.setdefault(sample.image_id, sample)
    spans, features = _encode(loaded, list(first_of_image.values()))
    rows = {image_id: row for row, image_id in enumerate(first_of_image)}
    items = tuple(_tokenize(loaded, sample, rows[sample.image_id], spans) for sample in samples)
    return PackedSplit(tuple(samples), items, features, longest_answer(loaded, samples))


def _check_packable(loaded: LoadedModel) -> None:
    if loaded.prompt_encoder.form is not None:
        raise Unpackable("its processor writes the prompt")
    if len(loaded.mapping) != 1 or not all(name.startswith(f"{loaded.mapping[0]}.") for name in loaded.weights):
        raise Unpackable("the trained weights are not those of one module that reads image features")
    config = loaded.decoder.config
    windows = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    kinds = getattr(config, "layer_types", None) or ["sliding_attention" if windows else "full_attention"]
    if set(kinds) != {"full_attention"}:
        raise Unpackable("its decoder has other masks than the causal one")


def _encode(loaded: LoadedModel, firsts: Sequence[Sample]) -> tuple[list[tuple[int, ...]], Tensor]:
    """Return, per image, the ids that its placeholder expands to, and the table of image features."""
    spans: list[tuple[int, ...]] = []
    features: list[Tensor] = []
    for chunk in _chunks(firsts, IMAGES_AT_ONCE):
        inputs = loaded.prompt_encoder.inputs([sample.question for sample in chunk], [sample.image for sample in chunk])
        rows = zip(chunk, inputs["input_ids"], inputs["attention_mask"].bool(), strict=True)
        spans += [_image_span(loaded, sample, ids[real].tolist()) for sample, ids, real in rows]
        features.append(encode(loaded, on_device(inputs, loaded.device, loaded.model.dtype)))
        if len(features[-1]) != len(chunk) or features[-1].shape[1:] != features[0].shape[1:]:
            raise Unpackable("images become different numbers of visual tokens")
    return spans, torch.cat(features)


def _image_span(loaded: LoadedModel, sample: Sample, whole: list[int]) -> tuple[int, ...]:
    """Return the ids that replace the image placeholder in the processor's ids of a question."""
    ids, place = _text_ids(loaded, sample)
    return tuple(whole[place : len(whole) - (len(ids) - place - 1)])


def _tokenize(loaded: LoadedModel, sample: Sample, row: int, spans: Sequence[tuple[int, ...]]) -> Tokenized:
    """Return the processor's ids of one question, with the image placeholder expanded here.

    Running the processor per question would process the same image again each time.
    """
    ids, place = _text_ids(loaded, sample)
    prompt = (*ids[:place], *spans[row], *ids[place + 1 :])
    return Tokenized(image=row, prompt=prompt, answer=loaded.answer_tokens(target(sample)))


def _text_ids(loaded: LoadedModel, sample: Sample) -> tuple[list[int], int]:
    """Return the token ids of a question from the template, and the index of the image placeholder."""
    tokenizer = loaded.processor.tokenizer
    text = loaded.prompt_encoder.text(sample.question)
    has_bos = tokenizer.bos_token is not None and text.startswith(tokenizer.bos_token)
    ids = tokenizer(text, add_special_tokens=not has_bos).input_ids
    if ids.count(loaded.image_token) != 1:
        raise Unpackable("its template has no placeholder for the image, or several")
    return ids, ids.index(loaded.image_token)


def _chunks(samples: Sequence[Sample], size: int) -> Iterator[Sequence[Sample]]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]
