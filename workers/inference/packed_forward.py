"""Runs the decoder over packed questions, and the vision tower up to the mapping module."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from spaces.scope import Group
from workers.blocks.token_groups import CODES, token_groups
from workers.inference.packed_batch import PackedBatch
from workers.models.loaded_model import LoadedModel


def projector(loaded: LoadedModel) -> nn.Module:
    """Return the mapping module of a model whose mapping is a single module."""
    (path,) = loaded.mapping
    module: nn.Module = loaded.model.get_submodule(path)
    return module


@torch.no_grad()
def encode(loaded: LoadedModel, inputs: Mapping[str, Any]) -> Tensor:
    """Return the inputs of the mapping module for a batch of the processor, (images, visual tokens, vision width)."""
    caught: list[Tensor] = []
    taken = signature(loaded.model.get_image_features).parameters
    hook = projector(loaded).register_forward_pre_hook(lambda _, args: caught.append(args[0]))
    try:
        loaded.model.get_image_features(
            **{name: value for name, value in inputs.items() if name in taken and name.startswith("pixel_")}
        )
    finally:
        hook.remove()
    return caught[0]


def embed(loaded: LoadedModel, input_ids: Tensor, features: Tensor) -> Tensor:
    """Return token embeddings with mapped image features at the image tokens.

    Args:
        loaded: the model.
        input_ids: (B, T) int64.
        features: (B, visual tokens, vision width) inputs of the mapping module.

    Returns:
        (B, T, width) embeddings.
    """
    embeddings: Tensor = loaded.model.get_input_embeddings()(input_ids)
    places = (input_ids == loaded.image_token)[..., None]
    return embeddings.masked_scatter(places, projector(loaded)(features).to(embeddings.dtype))


def read(loaded: LoadedModel, batch: PackedBatch, features: Tensor, cache: Any = None) -> Tensor:
    """Return the hidden states before the LM head, (B, T, width).

    Args:
        loaded: the model.
        batch: B packs.
        features: (images, visual tokens, vision width) table that `batch.images` indexes.
        cache: KV cache to fill, or None.
    """
    embeddings = embed(loaded, batch.input_ids, features[batch.images])
    groups = batch.groups(loaded.image_token)
    return decode(loaded, embeddings, batch.mask(embeddings.dtype), batch.position_ids, cache, groups)


def decode(
    loaded: LoadedModel,
    embeddings: Tensor,
    mask: Tensor,
    position_ids: Tensor,
    cache: Any = None,
    groups: Tensor | None = None,
) -> Tensor:
    """Run the decoder and return its hidden states, (B, T, width).

    Args:
        loaded: the model.
        embeddings: (B, T, width).
        mask: (B, 1, T, keys) additive attention mask.
        position_ids: (B, T) int64.
        cache: KV cache to extend, or None.
        groups: (B, T) token group codes; None if all rows are generated tokens.
    """
    if groups is None:
        groups = torch.full(embeddings.shape[:2], CODES[Group.GENERATED], device=embeddings.device)
    with token_groups(groups):
        hidden: Tensor = loaded.decoder(
            inputs_embeds=embeddings,
            attention_mask=mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state
        return hidden
