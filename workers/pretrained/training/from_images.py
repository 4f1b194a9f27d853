"""Trains a fitted mapping module through the language model, on image features: the third stage of the training."""

from __future__ import annotations

from typing import Any

from workers.inference.packed_batch import PackedBatch
from workers.inference.packed_split import PackedSplit
from workers.models.loaded_model import LoadedModel
from workers.pretrained.training.asked_batch import packed, prompts_of, tokenized
from workers.pretrained.training.balanced_questions import Facts
from workers.pretrained.training.recipe import Schedule, Training

BALANCED = 4
"""Images per step with nine balanced questions each; as many others have questions of the split."""


class BalancedTraining(Training):
    """A mapping module in training on questions of the split and balanced ones."""

    def __init__(
        self,
        loaded: LoadedModel,
        train: PackedSplit,
        facts: Facts,
        schedule: Schedule,
        seed: int,
        start: dict[str, Any],
    ) -> None:
        """Set the model, its data and the weights of the mapping module to begin with."""
        super().__init__(loaded, train, schedule, seed)
        self.mapping.load_state_dict(start)
        self.facts, self.prompts = facts, prompts_of(train)

    def batch(self) -> PackedBatch:
        """Return the questions of the next step."""
        known = self.rng.permutation(sorted(self.facts.of_image))[:BALANCED].tolist()
        balanced = [
            tokenized(self.loaded, self.prompts, image, asked)
            for image in known
            for asked in self.facts.about(self.facts.of_image[image], self.rng)
        ]
        return packed(self.loaded, [*(self.train.items[index] for index in self.draw()), *balanced])
