"""Holds a loaded model with its processor, its mapping module and its special tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workers.blocks.anatomy import anatomy_of
from workers.models.chat_template import PromptEncoder
from workers.models.trainable import Weights
from workers.models.vision_replay import Replay

if TYPE_CHECKING:
    from workers.data.sample import Sample


ROOM = 4
"""Number of tokens generated beyond the longest accepted answer, for articles, quotes and periods, which metrics
ignore."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode with its processor; only the trained weights take gradients."""

    model: Any
    processor: Any
    device: torch.device
    prompt_encoder: PromptEncoder
    mapping: tuple[str, ...]
    """Paths of the modules between vision tower and decoder; empty if weights elsewhere are trained."""
    weights: Weights = field(repr=False)
    """Trained weights by name in the whole model; by default those of the mapping module."""
    replay: Replay = field(repr=False)
    """Replay of the frozen vision modules."""
    _answers: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False, compare=False)
    """Answer -> its token ids, cached across trials."""

    @property
    def decoder(self) -> nn.Module:
        """Return the module that runs the decoder blocks."""
        return anatomy_of(self.model).decoder

    @property
    def head(self) -> nn.Module:
        """Return the LM head."""
        head: nn.Module = self.model.get_output_embeddings()
        return head

    @property
    def image_tokens(self) -> frozenset[int]:
        """Return the token ids of image and video placeholders."""
        return anatomy_of(self.model).image_tokens

    @property
    def image_token(self) -> int:
        """Return the token id of image placeholders."""
        config = self.model.config
        return int(config.image_token_id if hasattr(config, "image_token_id") else config.image_token_index)

    @property
    def pad_token(self) -> int:
        """Return the padding token id; 0 if the tokenizer has none, since padding is never attended to."""
        return self.processor.tokenizer.pad_token_id or 0

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Return the token ids that end an answer; answers are trained with the first one.

        The end-of-turn token of the chat template comes first, then those of tokenizer and generation config. If the
        generation config lacks the tokenizer's, its own come first: BLIP-2 with OPT ends by a line break, not `</s>`.
        """
        own = self.processor.tokenizer.eos_token_id
        configured = self.model.generation_config.eos_token_id
        configured = configured if isinstance(configured, list) else [configured]
        ids = [own, *configured] if own in configured else [*configured, own]
        turn = self.prompt_encoder.encode(self.prompt_encoder.turn.end)[-1:] if self.prompt_encoder.turn.end else ()
        return tuple(dict.fromkeys(i for i in (*turn, *ids) if i is not None))

    @property
    def lead(self) -> str:
        """Return the text that the chat template writes between prompt and answer, without special tokens and space.

        It is empty for most templates. A model generates it itself if its template ignores `add_generation_prompt`, for
        example "assistant:".
        """
        ids = self.prompt_encoder.encode(self.prompt_encoder.turn.lead)
        return str(self.processor.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def answer_tokens(self, answer: str) -> tuple[int, ...]:
        """Return the token ids of an answer that follows a prompt, including the end of turn."""
        if answer not in self._answers:
            self._answers[answer] = self.prompt_encoder.answer_ids(answer, self.end_tokens[0])
        return self._answers[answer]


def longest_answer(loaded: LoadedModel, samples: Sequence[Sample]) -> int:
    """Return the limit of generated tokens: that of the task of the samples, if any.

    Otherwise it is the number of tokens of the longest accepted answer, including the end of turn, plus `ROOM`.
    """
    given = [sample.max_new_tokens for sample in samples if sample.max_new_tokens is not None]
    if given:
        return max(given)
    return ROOM + max(len(loaded.answer_tokens(answer)) for sample in samples for answer in sample.answers)
