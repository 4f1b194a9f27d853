"""Tunes the trained weights briefly under a plan; all other weights are frozen.

The optimizer is AdamW with a cosine schedule. The loss is the cross-entropy of the answer tokens, optionally plus the
KL divergence from the dense model. Seed and order of the data are the same for all trials.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from workers.inference.check_finite import NonFinite
from workers.inference.prepare import AnswerBatch, Prepared
from workers.models.loaded_model import LoadedModel
from workers.requests import TuningRecipe

RATE_TIMES_WIDTH = 0.192
"""Default learning rate times the width of the language model; the best rate of Adam is inversely proportional to the
width (Yang et al. 2022, arXiv 2203.03466, table 8)."""


@dataclass
class TuningSchedule:
    """The batches of tuning in the order given by a seed, and the logits of the dense model for each batch."""

    loaded: LoadedModel
    prepared: Prepared
    recipe: TuningRecipe
    seed: int
    _order: list[int] = field(default_factory=list)
    _batches: list[AnswerBatch | None] = field(default_factory=list)
    """None: forgotten, or skipped."""
    _dense: list[Tensor | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._by_image: dict[int, list[int]] = {}
        for index, image in enumerate(self.prepared.images):
            self._by_image.setdefault(image, []).append(index)

    @property
    def learning_rate(self) -> float:
        """Return the peak learning rate of the recipe, or the default for the width of the language model."""
        if self.recipe.learning_rate is not None:
            return self.recipe.learning_rate
        width: int = self.loaded.model.config.get_text_config().hidden_size
        return RATE_TIMES_WIDTH / width

    def batch(self, step: int) -> AnswerBatch:
        """Return the batch of a step, counted from 0."""
        while len(self._batches) <= step:
            chosen = self._choose()
            self._batches.append(self.prepared.answer_batch(self.loaded, chosen, self.recipe.questions_per_image))
        batch = self._batches[step]
        assert batch is not None, "a forgotten step is not run again"
        return batch

    def skip(self, steps: int) -> None:
        """Draw the questions of the first steps without making their batches, to continue after these steps."""
        while len(self._batches) < steps:
            self._choose()
            self._batches.append(None)
            self._dense.append(None)

    def forget(self, steps: int) -> None:
        """Free the batches and the dense logits of the first steps, which are over."""
        for kept in (self._batches, self._dense):
            kept[:steps] = [None] * min(steps, len(kept))

    def learn_dense(self, steps: int) -> None:
        """Store the logits of the dense model for the first `steps` batches. No plan may be applied to the model."""
        with torch.no_grad():
            for step in range(len(self._dense), steps):
                self._dense.append(self.logits(step))

    def dense_logits(self, step: int) -> Tensor:
        """Return the (labeled positions, vocabulary) float32 logits stored by `learn_dense` for a step."""
        logits = self._dense[step]
        assert logits is not None, "a forgotten step is not run again"
        return logits

    def logits(self, step: int) -> Tensor:
        """Return the (labeled positions, vocabulary) float32 logits of the answer tokens of a step."""
        return self.prepared.answer_logits(self.loaded, self.batch(step))

    def _choose(self) -> list[int]:
        """Return the questions of the next step."""
        return [index for _ in range(self.recipe.images_per_step) for index in self._questions(self._next_image())]

    def _next_image(self) -> int:
        """Return the index of the next image; all images are used in random order, then again in another order."""
        if not self._order:
            self._order = self._rng.permutation(list(self._by_image)).tolist()
        return self._order.pop()

    def _questions(self, image: int) -> list[int]:
        samples = self._by_image[image]
        order = self._rng.permutation(len(samples))[: self.recipe.questions_per_image]
        return [samples[index] for index in order]


class Tuning:
    """The tuning of one trial, which can be continued by further steps.

    The optimizer works on float32 copies of the weights, because half precision would round small steps to nothing.
    """

    def __init__(self, schedule: TuningSchedule, total_steps: int) -> None:
        self.schedule, self.total_steps, self.step = schedule, total_steps, 0
        self._parameters = list(schedule.loaded.weights.values())
        self._exact = [parameter.detach().float().clone() for parameter in self._parameters]
        recipe = schedule.recipe
        self._optimizer = torch.optim.AdamW(self._exact, lr=schedule.learning_rate, weight_decay=recipe.weight_decay)
        self.last_loss = math.nan
        """Loss of the last step; NaN before the first."""

    def until(self, steps: int) -> None:
        """Tune until `steps` steps have been done in total.

        Raises:
            NonFinite: the loss is NaN or infinite.
        """
        while self.step < steps:
            loss = self.loss(self.step)
            if not torch.isfinite(loss):
                raise NonFinite(f"the tuning loss must be finite, got {loss.item()} at step {self.step}")
            self.last_loss = loss.item()
            gradients = self._gradients(loss)
            self._take_step(gradients, self.schedule.learning_rate * cosine(self.step, self.total_steps))
            self.step += 1

    def state(self) -> dict[str, Any]:
        """Return the state of the tuning, for `torch.save`: steps, weights in float32, and the optimizer's."""
        return {"step": self.step, "exact": self._exact, "optimizer": self._optimizer.state_dict()}

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state, as if the tuning had not been interrupted."""
        self.step = state["step"]
        self._optimizer.load_state_dict(state["optimizer"])
        for parameter, exact, stored in zip(self._parameters, self._exact, state["exact"], strict=True):
            exact.copy_(stored)
            parameter.copy_(exact)
        self.schedule.skip(self.step)

    def _gradients(self, loss: Tensor) -> Sequence[Tensor]:
        """Return the gradients; zeros for weights that have no effect under the plan."""
        if not loss.requires_grad:
            return [torch.zeros_like(parameter) for parameter in self._parameters]
        return torch.autograd.grad(loss, self._parameters, allow_unused=True, materialize_grads=True)

    @torch.no_grad()
    def _take_step(self, gradients: Sequence[Tensor], learning_rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        for exact, gradient in zip(self._exact, gradients, strict=True):
            exact.grad = gradient.float()
        self._optimizer.step()
        for parameter, exact in zip(self._parameters, self._exact, strict=True):
            parameter.copy_(exact)

    def loss(self, step: int) -> Tensor:
        """Return the scalar loss of a step's batch, in nats per answer token."""
        schedule = self.schedule
        logits = schedule.logits(step)
        loss = F.cross_entropy(logits, schedule.batch(step).targets)
        if schedule.recipe.kl_weight:
            dense = schedule.dense_logits(step).log_softmax(-1)
            divergence = F.kl_div(logits.log_softmax(-1), dense, log_target=True, reduction="batchmean")
            loss = loss + schedule.recipe.kl_weight * divergence
        return loss


def cosine(step: int, total: int) -> float:
    """Return the cosine factor of the learning rate: 1 at step 0, almost 0 at the last of `total` steps."""
    return 0.5 * (1 + math.cos(math.pi * step / total))
