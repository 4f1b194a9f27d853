"""Runs a model on a prompt and then on given tokens, with the inputs that its own `generate` prepares.

The model's `generate` prepares positions, masks, token types and image inputs. Then the tokens of an answer to train
on, or single tokens to time, are fed. Gradients flow through both steps.
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
    """A batch of prompts with its KV cache; sets the token groups of each pass, for plans with scopes."""

    def __init__(self, loaded: LoadedModel, inputs: Mapping[str, Any]) -> None:
        """Prepare the inputs of the prompts.

        Args:
            loaded: the model.
            inputs: a batch of the model's processor, padded on the left.
        """
        self._groups = prompt_groups(inputs["input_ids"], loaded.image_tokens)

        def take_over(model: Any, input_ids: Tensor, *args: Any, **state: Any) -> str:
            for ours in ("logits_processor", "stopping_criteria", "generation_config"):
                state.pop(ours, None)
            self._model, self._ids, self._first = model, input_ids, state
            return ""

        # The wrapper of generate disables gradients.
        generate = unwrap(type(loaded.model).generate)
        generate(loaded.model, **inputs, max_new_tokens=1, do_sample=False, custom_generate=take_over)

    def prefill(self) -> Tensor:
        """Run the prompts with an empty cache and return the logits of the first answer tokens, (B, vocabulary)."""
        self._state = {**self._first, "past_key_values": deepcopy(self._first["past_key_values"])}
        self._seen = self._ids
        fed = self._model.prepare_inputs_for_generation(self._ids, is_first_iteration=True, **self._state)
        with token_groups(self._groups):
            self._output = self._model(**fed, return_dict=True)
        self._state.pop("logits_to_keep", None)
        logits: Tensor = self._output.logits[:, -1]
        return logits

    def feed(self, ids: Tensor) -> Tensor:
        """Append tokens and return the logits of the token after each.

        Args:
            ids: (B, A) int64 token ids.

        Returns:
            (B, A, vocabulary) logits in the dtype of the model.
        """
        for _ in range(ids.shape[1]):  # one by one: families extend their masks by one token per call
            self._state = self._model._update_model_kwargs_for_generation(
                self._output, self._state, is_encoder_decoder=False
            )
        self._seen = torch.cat([self._seen, ids], dim=1)
        fed = self._model.prepare_inputs_for_generation(
            self._seen, next_sequence_length=ids.shape[1], is_first_iteration=False, **self._state
        )
        with token_groups(torch.full_like(ids, CODES[Group.GENERATED])):
            self._output = self._model(**fed, return_dict=True)
        logits: Tensor = self._output.logits
        return logits
