"""The computation of mlx-vlm 0.7.10 for dense models of two families, as changes of transformers' own classes.

An engine that agrees with these and not with the model as published departs from the model; the export does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

MLX_WIDTH = 2048
"""Width that mlx-vlm takes for Gemma 3 where the root of a config has no `hidden_size`, as published ones."""


def _logits(model: Any, embeddings: Tensor) -> Tensor:
    """Return the logits of the language model on embeddings, each position seeing those before it."""
    ones = torch.ones(embeddings.shape[:2], dtype=torch.long)
    hidden = model.model.language_model(inputs_embeds=embeddings, attention_mask=ones).last_hidden_state
    logits: Tensor = model.lm_head(hidden)
    return logits


def _embeddings(model: Any, forward: Callable[..., Any], inputs: dict[str, Tensor]) -> Tensor:
    """Return the embeddings that the model gives to its language model."""
    seen: list[Tensor] = []
    hook = model.model.language_model.register_forward_pre_hook(
        lambda module, args, named: seen.append(named["inputs_embeds"].clone()), with_kwargs=True
    )
    forward(**inputs)
    hook.remove()
    return seen[0]


def gemma3(model: Any, forward: Callable[..., Any], inputs: dict[str, Tensor]) -> Tensor:
    """Image features times sqrt(hidden_size / 2048), and no attention from an image token to later ones.

    The scale of embeddings, sqrt(hidden_size), is rounded to bfloat16, as published weights have it.
    """
    embeddings, scale = _embeddings(model, forward, inputs), torch.tensor(model.config.text_config.hidden_size).sqrt()
    visual = inputs["input_ids"] == model.config.image_token_id
    embeddings[visual] *= scale / MLX_WIDTH**0.5
    return _logits(model, embeddings * scale.bfloat16() / scale)


def llava_next(model: Any, forward: Callable[..., Any], inputs: dict[str, Tensor]) -> Tensor:
    """Tiles one after another and as many rows of line ends, neither put in order nor freed of padding."""
    config, parts = model.config, model.model
    tower = parts.vision_tower(inputs["pixel_values"][0], output_hidden_states=True)
    tiles = parts.multi_modal_projector(tower.hidden_states[config.vision_feature_layer][:, 1:])
    rows = torch.cat([tiles, parts.image_newline.expand_as(tiles)]).flatten(0, 1)
    text = parts.get_input_embeddings()(inputs["input_ids"])[0]
    (places,) = torch.where(inputs["input_ids"][0] == config.image_token_id)
    embeddings = torch.cat([text[: places[0]], rows, text[places[-1] + 1 :]])
    return _logits(model, embeddings[None])


DEPARTURES = {"gemma3": gemma3, "llava_next": llava_next}
"""Family -> what mlx-vlm computes, (model, its forward, inputs) -> logits."""


@contextmanager
def departing(model: Any, family: str) -> Iterator[None]:
    """Let a model compute inside the `with` what mlx-vlm computes for its family."""
    forward = model.forward
    model.forward = lambda **inputs: SimpleNamespace(logits=DEPARTURES[family](model, forward, inputs))
    try:
        yield
    finally:
        del model.forward
