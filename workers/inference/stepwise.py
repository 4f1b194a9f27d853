"""A model that reads a prompt and then goes on token by token, fed by us, in the way its own `generate` feeds it.

Positions, masks, token types and image inputs are prepared by the model's `generate`, whatever its family; then we
take over with the answers to be learned, or with single tokens to be timed. Gradients flow through both steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor

from spaces.scope import Group
from workers.blocks.token_groups import CODES, prompt_groups, token_groups
from workers.models.loaded_model import LoadedModel


class Talk:
    """Prompts under way. Inside a plan, token groups are said for every pass."""

    def __init__(self, loaded: LoadedModel, inputs: Mapping[str, Any]) -> None:
        """`inputs` are a batch of the model's processor, padded on the left."""
        self._groups = prompt_groups(inputs["input_ids"], loaded.image_tokens)

        def take_over(model: Any, input_ids: Tensor, *args: Any, **state: Any) -> str:
            for ours in ("logits_processor", "stopping_criteria", "generation_config"):
                state.pop(ours, None)
            self._model, self._ids, self._first = model, input_ids, state
            return ""

        # Without its wrapper, generate leaves it to the caller whether there are gradients.
        generate = unwrap(type(loaded.model).generate)
        generate(loaded.model, **inputs, max_new_tokens=1, do_sample=False, custom_generate=take_over)

    def prefill(self) -> Tensor:
        """Reads the prompts, from the start each time: (B, vocabulary) logits of the first tokens of the answers."""
        self._state = {**self._first, "past_key_values": deepcopy(self._first["past_key_values"])}
        self._seen = self._ids
        fed = self._model.prepare_inputs_for_generation(self._ids, is_first_iteration=True, **self._state)
        with token_groups(self._groups):
            self._output = self._model(**fed, return_dict=True)
        self._state.pop("logits_to_keep", None)
        return self._output.logits[:, -1]

    def feed(self, ids: Tensor) -> Tensor:
        """Goes on with (B, A) tokens: (B, A, vocabulary) logits of those that follow each."""
        for _ in range(ids.shape[1]):  # one by one: what a family adds to its masks, it adds for one token
            self._state = self._model._update_model_kwargs_for_generation(
                self._output, self._state, is_encoder_decoder=False
            )
        self._seen = torch.cat([self._seen, ids], dim=1)
        fed = self._model.prepare_inputs_for_generation(
            self._seen, next_sequence_length=ids.shape[1], is_first_iteration=False, **self._state
        )
        with token_groups(torch.full_like(ids, CODES[Group.GENERATED])):
            self._output = self._model(**fed, return_dict=True)
        return self._output.logits
