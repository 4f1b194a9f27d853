"""Reads the features of questions that are known before the language model runs, and counts their tokens.

The features of a question are the mean of the input embeddings of its text tokens, and the mean of its image features
where they enter the mapping module. Both are by-products of answering, so that nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_leaves

from workers.data.sample import Sample
from workers.inference.prepare import PackedSplit, Prepared
from workers.models.decoder_inputs import decoder_inputs
from workers.models.loaded_model import LoadedModel
from workers.models.processor import on_device
from workers.models.prompt_forms import target

FloatTable = NDArray[np.float32]


@dataclass(frozen=True)
class Questions:
    """The questions of a split, in its order."""

    text: FloatTable
    """(Q, width of the embeddings) mean embedding of the text tokens of the prompt."""
    image: FloatTable
    """(Q, width of the vision tower) mean image feature; no columns if the model has no mapping module."""
    tokens: tuple[tuple[int, int, int, int], ...]
    """Per question: visual tokens, text tokens, tokens of the first accepted answer, images."""
    kinds: tuple[str, ...]
    """Kind of each question."""


def read_questions(loaded: LoadedModel, prepared: Prepared) -> Questions:
    """Return features and token counts of the questions of a split.

    Args:
        loaded: the model, with no plan applied.
        prepared: the split.
    """
    samples = prepared.samples
    if isinstance(prepared, PackedSplit):
        prompts = [torch.tensor(item.prompt) for item in prepared.items]
        means = prepared.features.float().mean(1)
    else:
        prompts, means = _run_processor(loaded, samples, prepared.images)
    images = means[list(prepared.images)].cpu().numpy()
    return Questions(
        text=np.stack([mean_embedding(loaded, ids).cpu().numpy() for ids in prompts]),
        image=images.astype(np.float32),
        tokens=tuple(_counts(loaded, ids, sample) for ids, sample in zip(prompts, samples, strict=True)),
        kinds=tuple(sample.kind for sample in samples),
    )


@torch.no_grad()
def mean_embedding(loaded: LoadedModel, ids: Tensor) -> Tensor:
    """Return the mean input embedding of the text tokens of a prompt, (width,) float32.

    Args:
        loaded: the model.
        ids: (T,) int64 token ids without padding, placeholders of images included.
    """
    text = ids[_is_text(loaded, ids)]
    embeddings: Tensor = loaded.model.get_input_embeddings()(text.to(loaded.device))
    return embeddings.float().mean(0)


def _is_text(loaded: LoadedModel, ids: Tensor) -> Tensor:
    return ~torch.isin(ids, torch.tensor(sorted(loaded.image_tokens), dtype=ids.dtype, device=ids.device))


def _counts(loaded: LoadedModel, ids: Tensor, sample: Sample) -> tuple[int, int, int, int]:
    text = int(_is_text(loaded, ids).sum())
    return len(ids) - text, text, len(loaded.answer_tokens(target(sample))), len(sample.images)


def _run_processor(
    loaded: LoadedModel, samples: Sequence[Sample], images: Sequence[int]
) -> tuple[list[Tensor], Tensor]:
    """Return the token ids of each prompt, and the mean features of each image, (images, width) float32."""
    prompts: list[Tensor] = []
    means: list[Tensor] = []
    for sample, image in zip(samples, images, strict=True):
        inputs = loaded.prompt_encoder.inputs([sample.question], [sample.images])
        prompts.append(inputs["input_ids"][0][inputs["attention_mask"][0].bool()].cpu())
        if image == len(means):
            means.append(_mean_feature(loaded, on_device(inputs, loaded.device, loaded.model.dtype)))
    return prompts, torch.stack(means)


@torch.no_grad()
def _mean_feature(loaded: LoadedModel, inputs: dict[str, Any]) -> Tensor:
    """Return the mean input of the mapping module for one question, (width,) float32; empty without such a module."""
    caught: list[Tensor] = []

    def note(_: Any, args: Any, kwargs: Any) -> None:
        caught.extend(leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))

    if not loaded.mapping:
        return torch.zeros(0)
    module = loaded.model.get_submodule(loaded.mapping[0])
    hook = module.register_forward_pre_hook(note, with_kwargs=True)
    try:
        decoder_inputs(loaded.model, inputs)
    finally:
        hook.remove()
    features = next(each for each in caught if each.is_floating_point())
    return features.float().flatten(0, -2).mean(0)
