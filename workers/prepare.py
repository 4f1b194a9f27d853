"""Turns the samples of a split into what every trial needs: token ids, and image features from the frozen tower."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from workers.loading import LoadedModel
from workers.packing import PackedBatch, Tokenized, pack
from workers.prompts import conversation, target
from workers.samples import Sample

IMAGES_AT_ONCE = 64


@dataclass(frozen=True)
class Prepared:
    """A split, ready for the model. Made once; all trials read the same."""

    samples: tuple[Sample, ...]
    items: tuple[Tokenized, ...]
    """One per sample, in the same order."""
    features: Tensor
    """(images, visual tokens, vision width): what the projector reads."""
    max_new_tokens: int
    """Tokens of the longest answer of the split, end-of-sequence included: where generation is cut off."""
    _packs: dict[tuple[int, ...], list[PackedBatch]] = field(default_factory=dict, repr=False)

    def packs(self, loaded: LoadedModel, questions: int, per_image: int, tokens: int) -> list[PackedBatch]:
        """The first `questions` questions in packs, about `tokens` tokens a batch, on the model's device.

        Kept for the next trial.
        """
        key = (questions, per_image, tokens)
        if key not in self._packs:
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
        """Tokens of a full pack, about: the longest prompt, and its text once more for every further question."""
        longest = max(len(item.prompt) for item in self.items)
        text = max(len(item.prompt) - item.prompt.count(loaded.image_token) for item in self.items)
        most = max(Counter(item.image for item in self.items).values())
        return longest + (min(per_image, most) - 1) * text


def prepare(loaded: LoadedModel, samples: Sequence[Sample]) -> Prepared:
    """Tokenizes through the model's own processor and encodes every distinct image once.

    Raises ValueError on no samples.
    """
    if not samples:
        raise ValueError("a split must have at least one question, got none: check the data set")
    first_of_image: dict[str, Sample] = {}
    for sample in samples:
        first_of_image.setdefault(sample.image_id, sample)
    spans, features = _encode(loaded, list(first_of_image.values()))
    rows = {image_id: row for row, image_id in enumerate(first_of_image)}
    items = tuple(_tokenize(loaded, sample, rows[sample.image_id], spans) for sample in samples)
    longest = max(len(item.answer) for item in items)
    return Prepared(tuple(samples), items, features, longest)


def _encode(loaded: LoadedModel, firsts: Sequence[Sample]) -> tuple[list[tuple[int, ...]], Tensor]:
    """Per image the ids its placeholder expands to, and the table of features."""
    spans: list[tuple[int, ...]] = []
    features = []
    for chunk in _chunks(firsts, IMAGES_AT_ONCE):
        inputs = loaded.processor.apply_chat_template(
            [conversation(sample.question, sample.image) for sample in chunk],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        )
        spans += [_image_span(ids, loaded.image_token) for ids in inputs["input_ids"]]
        features.append(loaded.encode(inputs["pixel_values"]))
    return spans, torch.cat(features)


def _image_span(input_ids: Tensor, image_token: int) -> tuple[int, ...]:
    """From the first to the last image token: what one placeholder has become."""
    places = (input_ids == image_token).nonzero().flatten()
    return tuple(input_ids[places[0] : places[-1] + 1].tolist())


def _tokenize(loaded: LoadedModel, sample: Sample, row: int, spans: Sequence[tuple[int, ...]]) -> Tokenized:
    """The processor's ids for one question, with the image's expansion put in by hand.

    Running the processor on every question would read the same picture again each time.
    """
    tokenizer = loaded.processor.tokenizer
    text = loaded.processor.apply_chat_template(conversation(sample.question), add_generation_prompt=True)
    has_bos = tokenizer.bos_token is not None and text.startswith(tokenizer.bos_token)
    ids = tokenizer(text, add_special_tokens=not has_bos).input_ids
    place = ids.index(loaded.image_token)
    answer = tokenizer(target(sample), add_special_tokens=False).input_ids
    return Tokenized(
        image=row,
        prompt=(*ids[:place], *spans[row], *ids[place + 1 :]),
        answer=(*answer, loaded.end_tokens[0]),
    )


def _chunks(samples: Sequence[Sample], size: int) -> Iterator[Sequence[Sample]]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]
