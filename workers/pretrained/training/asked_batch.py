"""Packs drawn questions, and compares the model's answers to them with the right ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from workers.inference.packed_batch import PackedBatch, Tokenized, pack
from workers.inference.packed_split import PackedSplit
from workers.models.loaded_model import LoadedModel
from workers.pretrained.training.balanced_questions import Asked

Prompts = Mapping[str, tuple[int, ...]]


def prompts_of(split: PackedSplit) -> Prompts:
    """Return text -> token ids of its prompt, which are the same for every image."""
    return {sample.question: item.prompt for sample, item in zip(split.samples, split.items, strict=True)}


def tokenized(loaded: LoadedModel, prompts: Prompts, image: int, asked: Asked) -> Tokenized:
    """Return a drawn question about an image as token ids."""
    return Tokenized(image, prompts[asked.text], loaded.answer_tokens(asked.answer))


def packed(loaded: LoadedModel, items: Sequence[Tokenized]) -> PackedBatch:
    """Return one batch of questions, packed by image, with their answers."""
    (batch,) = pack(
        items,
        len(items),
        with_answers=True,
        image_token=loaded.image_token,
        pad_token=loaded.pad_token,
        batch_size=len(items),
    )
    return batch.to(loaded.device)


def choice_loss(loaded: LoadedModel, logits: Tensor, targets: Tensor, form: float) -> Tensor:
    """Return the loss of answers of one token: of the choice between yes and no, and of the form of all answers.

    Args:
        loaded: the model.
        logits: (answers, vocabulary) float32.
        targets: (answers,) int64 ids.
        form: weight of the cross-entropy over all tokens.

    Returns:
        Mean binary cross-entropy of the answers yes and no, given that it is one of the two, plus `form` times the mean
        cross-entropy of all answers over all tokens.
    """
    yes, no = (loaded.answer_tokens(answer)[0] for answer in ("yes", "no"))
    chosen = (targets == yes) | (targets == no)
    margins = logits[chosen, yes] - logits[chosen, no]
    choice = F.binary_cross_entropy_with_logits(margins, (targets[chosen] == yes).float())
    return choice + form * F.cross_entropy(logits, targets)


def ends_removed(items: Sequence[Tokenized]) -> list[Tokenized]:
    """Return questions whose answers are their first token alone."""
    return [Tokenized(item.image, item.prompt, item.answer[:1]) for item in items]
