"""Draws training batches: new augmented scenes, with questions of all kinds in given proportions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LlavaProcessor

from workers.data.sample import Sample
from workers.embedded.digits import Scene, draw_scene, render
from workers.embedded.questions import KINDS, Question
from workers.inference.packed_batch import PackedBatch, Tokenized, pack

QUESTIONS_PER_IMAGE = 8
"""Number of questions per image in a training batch."""


def to_pixels(images: np.ndarray) -> Tensor:
    """Return (N, H, W, 3) uint8 images as the image processor normalizes them: (N, 3, H, W) float32 in [-1, 1]."""
    return torch.tensor(images).permute(0, 3, 1, 2).float() / 127.5 - 1


class Curriculum:
    """Converts scenes and samples to packed batches of token ids."""

    def __init__(
        self,
        processor: LlavaProcessor,
        num_visual_tokens: int,
        kinds: Mapping[str, Callable[[Scene, np.random.Generator], Question]] = KINDS,
    ):
        """Convert with a processor.

        Args:
            processor: the processor of the model.
            num_visual_tokens: number of visual tokens per image.
            kinds: kind of question -> function that draws one about a scene.
        """
        self.kinds = kinds
        self.processor, self.tokenizer = processor, processor.tokenizer
        self.num_visual_tokens = num_visual_tokens
        self._prompt = cache(self._tokenize_prompt)
        self._answer = cache(self._tokenize_answer)

    def draw(
        self, rng: np.random.Generator, num_images: int, weights: Mapping[str, float]
    ) -> tuple[Tensor, PackedBatch]:
        """Return normalized pixels and packed questions with answers of new scenes.

        Args:
            rng: source of all random choices.
            num_images: number of scenes.
            weights: kind of question -> weight; kinds are drawn in proportion.

        Returns:
            Pixels, (num_images, 3, H, W) float32, and the packed batch.
        """
        scenes, pixels = draw_images(rng, num_images)
        share = np.array([weights[kind] for kind in self.kinds])
        kinds = rng.choice(list(self.kinds), (num_images, QUESTIONS_PER_IMAGE), p=share / share.sum())
        items = [
            self.tokenized(image, *self.kinds[kind](scene, rng))
            for image, scene in enumerate(scenes)
            for kind in kinds[image]
        ]
        return pixels, self.pack(items)[0]

    def exam(self, samples: Sequence[Sample]) -> tuple[Tensor, list[PackedBatch]]:
        """Return normalized pixels of the images of `samples`, and their questions, packed."""
        images = {sample.image_id: sample.image for sample in samples}
        rows = {image_id: row for row, image_id in enumerate(images)}
        items = [self.tokenized(rows[one.image_id], one.question, one.answers[0]) for one in samples]
        return to_pixels(np.stack([np.asarray(image) for image in images.values()])), self.pack(items)

    def pack(self, items: Sequence[Tokenized]) -> list[PackedBatch]:
        """Return batches of packed questions with answers."""
        tokens = {
            "image_token": self.processor.image_token_id,
            "pad_token": self.tokenizer.pad_token_id,
        }
        return pack(items, QUESTIONS_PER_IMAGE, with_answers=True, **tokens)

    def tokenized(self, image: int, question: str, answer: str) -> Tokenized:
        """Return a tokenized question about the image with this number, with its answer."""
        return Tokenized(image, self._prompt(question), self._answer(answer))

    def _tokenize_prompt(self, question: str) -> tuple[int, ...]:
        content: Any = [{"type": "image"}, {"type": "text", "text": question}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        text = text.replace(self.processor.image_token, self.processor.image_token * self.num_visual_tokens)
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _tokenize_answer(self, answer: str) -> tuple[int, ...]:
        return (*self.tokenizer(answer, add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id)


def draw_images(rng: np.random.Generator, num_images: int) -> tuple[list[Scene], Tensor]:
    """Return new scenes with training digits, and their augmented, normalized pixels."""
    scenes = [draw_scene("train", rng) for _ in range(num_images)]
    return scenes, to_pixels(render(scenes, rng, augment=True))
