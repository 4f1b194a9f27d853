"""Loads a model once and freezes all of it but the mapping module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spaces.names import unknown
from spaces.scope import Group
from workers.families import Families, families_of
from workers.files import checkpoint, read_config
from workers.packing import PackedBatch
from workers.requests import ModelSource
from workers.token_groups import CODES, token_groups

DTYPES = {
    "auto": "auto",
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


ATTENTIONS = ("sdpa", "eager")
"""Those that take the additive 4-D mask of packed questions."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode with its processor; only the projector's parameters take gradients."""

    model: Any
    processor: Any
    families: Families
    device: torch.device

    @property
    def projector(self) -> nn.Module:
        """The mapping module."""
        return self.model.get_submodule(self.families.model.projector)

    @property
    def head(self) -> nn.Module:
        return self.model.get_submodule(self.families.model.head)

    @property
    def num_blocks(self) -> int:
        return len(self.model.get_submodule(self.families.model.blocks))

    @property
    def image_token(self) -> int:
        return self.families.image_token

    @property
    def pad_token(self) -> int:
        """What fills up rows; any id will do where the tokenizer has none, as padding is never attended to."""
        return self.processor.tokenizer.pad_token_id or 0

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Ids that end an answer; the first is the one answers are trained with."""
        own = self.processor.tokenizer.eos_token_id
        listed = self.model.generation_config.eos_token_id
        ids = [own, *(listed if isinstance(listed, list) else [listed])]
        return tuple(dict.fromkeys(i for i in ids if i is not None))

    @torch.no_grad()
    def encode(self, pixel_values: Tensor) -> Tensor:
        """What the projector reads: (images, visual tokens, vision width) for (images, 3, height, width)."""
        caught: list[Tensor] = []
        hook = self.projector.register_forward_pre_hook(lambda _, args: caught.append(args[0]))
        try:
            self.model.get_image_features(pixel_values=pixel_values.to(self.device, self.model.dtype))
        finally:
            hook.remove()
        return caught[0]

    def embed(self, input_ids: Tensor, features: Tensor) -> Tensor:
        """(B, T, width) embeddings of (B, T) ids, the projected (B, visual tokens, vision width) at image tokens."""
        embeddings = self.model.get_input_embeddings()(input_ids)
        places = (input_ids == self.image_token)[..., None]
        return embeddings.masked_scatter(places, self.projector(features).to(embeddings.dtype))

    def read(self, batch: PackedBatch, features: Tensor, cache: Any = None) -> Tensor:
        """(B, T, width) hidden states before the LM head; `features` is the table `batch.images` points into."""
        embeddings = self.embed(batch.input_ids, features[batch.images])
        groups = batch.groups(self.image_token)
        return self.decode(embeddings, batch.mask(embeddings.dtype), batch.position_ids, cache, groups)

    def decode(
        self,
        embeddings: Tensor,
        mask: Tensor,
        position_ids: Tensor,
        cache: Any = None,
        groups: Tensor | None = None,
    ) -> Tensor:
        """The decoder on (B, T, width) embeddings under an additive (B, 1, T, keys) mask.

        `groups` are the (B, T) token groups of the rows; None where all are generated tokens.
        """
        language_model = self.model.get_submodule(self.families.model.language_model)
        if groups is None:
            groups = torch.full(embeddings.shape[:2], CODES[Group.GENERATED], device=embeddings.device)
        with token_groups(groups):
            return language_model(
                inputs_embeds=embeddings,
                attention_mask=mask,
                position_ids=position_ids,
                past_key_values=cache,
                use_cache=cache is not None,
            ).last_hidden_state


def load_model(source: ModelSource) -> LoadedModel:
    """Loads model and processor as transformers does for the folder or hub id.

    Raises ValueError, before any weight is read, for a model that can't be found or whose family is unknown.
    """
    families_of(read_config(source))
    device = pick_device(source.device)
    if source.attn_implementation not in ATTENTIONS:
        raise unknown("attention implementation", source.attn_implementation, ATTENTIONS)
    model, processor = _from_pretrained(source)
    if processor.chat_template is None:
        raise ValueError(
            f"a model must have a chat template, got {source.name!r} without one: "
            "put chat_template.jinja into its folder"
        )
    model.to(device).eval().requires_grad_(False)
    loaded = LoadedModel(model, processor, families_of(model.config.to_dict()), device)
    loaded.projector.requires_grad_(True)
    return loaded


def _from_pretrained(source: ModelSource) -> tuple[Any, Any]:
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.utils import logging

    logging.disable_progress_bar()
    place = checkpoint(source)
    options = {"revision": source.revision, "trust_remote_code": source.trust_remote_code}
    attention, dtype = source.attn_implementation, DTYPES[source.dtype]
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            place, dtype=dtype, attn_implementation=attention, **options
        )
        return model, AutoProcessor.from_pretrained(place, **options)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # broken files raise whatever their reader raises
        why = " ".join(str(error).split())[:300]
        raise ValueError(
            f"a model must load with transformers, got {source.name!r} ({type(error).__name__}: {why}): "
            "save it again, or try AutoModelForImageTextToText.from_pretrained on it"
        ) from error


def pick_device(name: str) -> torch.device:
    """The device of that name; `auto` is the first GPU where there is one. Raises ValueError on a bad name."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device must be auto, cpu or cuda:N, got {name!r}: leave it out for auto") from error
