"""A loaded model: its processor, its mapping module, and the tokens that asking it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workers.blocks.anatomy import anatomy_of
from workers.models.processor import Asker
from workers.models.trainable import Weights
from workers.models.vision_replay import Replay

if TYPE_CHECKING:
    from workers.data.sample import Sample


ROOM = 4
"""Tokens generated beyond the longest accepted answer: an article, quotes and a period that metrics don't count, and
what tells "Yes." from "Yes, but"."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode with its processor; only the trained weights take gradients."""

    model: Any
    processor: Any
    device: torch.device
    asker: Asker
    mapping: tuple[str, ...]
    """Paths of the modules between the vision tower and the decoder; none where a pattern says what is trained."""
    weights: Weights = field(repr=False)
    """What is trained, by name in the whole model: the mapping module unless the source says otherwise."""
    replay: Replay = field(repr=False)
    """How the frozen vision part is replayed."""
    _answers: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False, compare=False)
    """Tokens of answers, tokenized once: every trial judges the same ones."""

    @property
    def decoder(self) -> nn.Module:
        """The module that runs the decoder blocks."""
        return anatomy_of(self.model).decoder

    @property
    def head(self) -> nn.Module:
        """The LM head."""
        return self.model.get_output_embeddings()

    @property
    def image_tokens(self) -> frozenset[int]:
        """Token ids that stand for what the vision tower saw."""
        return anatomy_of(self.model).image_tokens

    @property
    def image_token(self) -> int:
        """The one that stands for images."""
        config = self.model.config
        return config.image_token_id if hasattr(config, "image_token_id") else config.image_token_index

    @property
    def pad_token(self) -> int:
        """What fills up rows; any id will do where the tokenizer has none, as padding is never attended to."""
        return self.processor.tokenizer.pad_token_id or 0

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Ids that end an answer; the first is the one answers are trained with.

        The chat template's own end of turn, then what the generation config and the tokenizer name. Where those two
        differ, the model ends as it was told to generate: BLIP-2 with OPT by a line break, not by `</s>`.
        """
        own = self.processor.tokenizer.eos_token_id
        told = self.model.generation_config.eos_token_id
        told = told if isinstance(told, list) else [told]
        ids = [own, *told] if own in told else [*told, own]
        turn = self.asker.encode(self.asker.turn.end)[-1:] if self.asker.turn.end else ()
        return tuple(dict.fromkeys(i for i in (*turn, *ids) if i is not None))

    def answer_tokens(self, answer: str) -> tuple[int, ...]:
        """Return the token ids of an answer to be learned or judged, as the model writes it, end of turn included."""
        if answer not in self._answers:
            self._answers[answer] = self.asker.answer_ids(answer, self.end_tokens[0])
        return self._answers[answer]


def longest_answer(loaded: LoadedModel, samples: Sequence[Sample]) -> int:
    """Return the tokens of the longest accepted answer of any sample, end of turn included, and some room."""
    return ROOM + max(len(loaded.answer_tokens(answer)) for sample in samples for answer in sample.answers)
