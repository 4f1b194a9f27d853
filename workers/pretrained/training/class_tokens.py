"""Learns a visual token per color and per shape, before any mapping module: the first stage of the training.

All visual tokens of an image are the same vector, `common + color + shape`, whose parts start as zero and as the word
embeddings of the names. With so few weights and small vectors the frozen language model soon compares a word of the
question with the image; a mapping module trained from random weights grows visual tokens of thirty times the length of
a word embedding, and does not (docs/experiments.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workers.blocks.token_groups import IGNORED
from workers.inference.packed_batch import PackedBatch
from workers.inference.packed_forward import decode
from workers.inference.packed_split import PackedSplit
from workers.models.loaded_model import LoadedModel
from workers.pretrained.easy_vqa import SHAPES
from workers.pretrained.training.asked_batch import choice_loss, ends_removed, packed, prompts_of, tokenized
from workers.pretrained.training.balanced_questions import COLORS, Facts

RATE = 0.01
"""Learning rate of Adam; a weight of a word embedding has a standard deviation of about 0.1."""
FORM = 0.1
"""Weight of the cross-entropy over all tokens, beside the choice of "yes" or "no", in the last third of the steps.

At first it is 5 to 10 nats, and its gradient would drown that of the choice (docs/experiments.md).
"""
WARM_UP = 5
"""Steps of linear warm-up."""


@dataclass(frozen=True)
class ClassTokens:
    """The learned vectors, all of the width of the language model."""

    common: nn.Parameter
    """(1, width)."""
    colors: nn.Parameter
    """(8, width)."""
    shapes: nn.Parameter
    """(3, width)."""

    @classmethod
    def of_words(cls, loaded: LoadedModel) -> ClassTokens:
        """Return the vectors before training: zero, and the mean word embedding of each name."""
        embeddings, tokenizer = loaded.model.get_input_embeddings().weight.detach().float(), loaded.processor.tokenizer

        def words(names: Sequence[str]) -> nn.Parameter:
            ids = [tokenizer(f" {name}", add_special_tokens=False).input_ids for name in names]
            return nn.Parameter(torch.stack([embeddings[own].mean(0) for own in ids]))

        return cls(nn.Parameter(torch.zeros(1, embeddings.shape[1])), words(COLORS), words(SHAPES))

    def of(self, facts: tuple[str, str]) -> Tensor:
        """Return the visual token of a color and shape, (width,)."""
        return self.common[0] + self.colors[COLORS.index(facts[0])] + self.shapes[SHAPES.index(facts[1])]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Return the weights."""
        return [self.common, self.colors, self.shapes]


class TokenTraining:
    """The vectors in training; every step has nine balanced questions about every color."""

    def __init__(self, loaded: LoadedModel, split: PackedSplit, facts: Facts, steps: int, seed: int) -> None:
        """Set the model, whose language model is frozen, the split whose texts are used, and the number of steps."""
        self.loaded, self.facts, self.steps, self.step = loaded, facts, steps, 0
        self.prompts, self.rng = prompts_of(split), np.random.default_rng(seed)
        self.tokens = ClassTokens.of_words(loaded)
        self.optimizer = torch.optim.Adam(self.tokens.parameters, betas=(0.9, 0.98))

    def until(self, steps: int, after: Callable[[TokenTraining, float], None]) -> ClassTokens:
        """Train up to a step, call `after` with the loss of each step, and return the vectors."""
        while self.step < steps:
            left = (self.steps - self.step) / self.steps
            self.optimizer.param_groups[0]["lr"] = RATE * min(1.0, (self.step + 1) / WARM_UP, 4 * left)
            loss = self._loss(form=FORM if 3 * left <= 1 else 0.0)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.step += 1
            after(self, loss.item())
        return self.tokens

    def _loss(self, form: float) -> Tensor:
        first = int(self.rng.integers(len(SHAPES)))
        classes = [(color, SHAPES[(first + row) % len(SHAPES)]) for row, color in enumerate(COLORS)]
        items = [
            tokenized(self.loaded, self.prompts, row, asked)
            for row, own in enumerate(classes)
            for asked in self.facts.about(own, self.rng)
        ]
        batch = packed(self.loaded, ends_removed(items))
        logits = _logits(self.loaded, batch, torch.stack([self.tokens.of(own) for own in classes]))
        return choice_loss(self.loaded, logits, batch.targets, form)

    def state(self) -> dict[str, Any]:
        """Return the state from which another process can continue."""
        return {
            "tokens": [weight.detach() for weight in self.tokens.parameters],
            "optimizer": self.optimizer.state_dict(),
            "rng": self.rng.bit_generator.state,
            "step": self.step,
        }

    @torch.no_grad()
    def go_on(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        for weight, stored in zip(self.tokens.parameters, state["tokens"], strict=True):
            weight.copy_(stored)
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.bit_generator.state, self.step = state["rng"], int(state["step"])


def _logits(loaded: LoadedModel, batch: PackedBatch, visual: Tensor) -> Tensor:
    """Return the logits of the answer tokens, (answers, vocabulary), with one vector at all visual tokens of a row."""
    embeddings = loaded.model.get_input_embeddings()(batch.input_ids)
    places = (batch.input_ids == loaded.image_token)[..., None]
    embeddings = torch.where(places, visual[batch.images][:, None].to(embeddings.dtype), embeddings)
    groups = batch.groups(loaded.image_token)
    hidden = decode(loaded, embeddings, batch.mask(embeddings.dtype), batch.position_ids, None, groups)
    logits: Tensor = loaded.head(hidden[batch.labels != IGNORED])
    return logits.float()
