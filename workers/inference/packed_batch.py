"""Packs several questions about one image into one sequence, so that the image prefix is computed once.

A pack is `prefix | question 1 | question 2 | ...`. The positions of every question start after the prefix, and a
question attends only to the prefix and itself (block-diagonal causal mask). Its logits therefore equal those of a
separate sequence up to rounding. A pack of one question is an ordinary padded sequence.

Legend: B: packs (rows) in a batch; T: tokens in the longest pack; Q: questions in the fullest pack.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from spaces.scope import Group
from workers.blocks.token_groups import CODES, IGNORED, prompt_groups


@dataclass(frozen=True)
class Tokenized:
    """One tokenized question."""

    image: int
    """Row of the image in the table of image features."""
    prompt: tuple[int, ...]
    """Token ids of the prompt, with image placeholders expanded."""
    answer: tuple[int, ...]
    """Token ids of the answer, including end-of-sequence."""


@dataclass(frozen=True)
class PackedBatch:
    """B packs padded on the right to T tokens."""

    input_ids: Tensor
    """(B, T) int64."""
    position_ids: Tensor
    """(B, T) int64; every question starts after the prefix."""
    segment: Tensor
    """(B, T) int64; -1 for padding, 0 for the prefix, k for the k-th question of the pack, from 1."""
    images: Tensor
    """(B,) int64 rows of the image feature table."""
    labels: Tensor
    """(B, T) int64 next-token targets; -100 for none."""
    last: Tensor
    """(B, Q) int64 index of each question's last prompt token; -1 if the pack has fewer questions."""
    owner: Tensor
    """(B, Q) int64 index into the packed items; -1 if the pack has fewer questions."""

    @property
    def targets(self) -> Tensor:
        """Return the labels that are not -100, pack by pack, (labeled positions,) int64."""
        return self.labels[self.labels != IGNORED]

    @property
    def order(self) -> Tensor:
        """Return the index of the item of each answer in `targets`, (items,) int64."""
        return self.owner[self.owner >= 0]

    def mask(self, dtype: torch.dtype) -> Tensor:
        """Return the (B, 1, T, T) additive attention mask: 0 if a row may attend, else the minimum of `dtype`."""
        row, column = self.segment[:, :, None], self.segment[:, None, :]
        num_tokens = self.segment.shape[1]
        causal = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=self.segment.device).tril()
        # Padding attends to padding, so that softmax never gives NaN.
        allowed = causal & ((column == 0) | (column == row))
        blocked = torch.full((), torch.finfo(dtype).min, dtype=dtype, device=self.segment.device)
        return torch.where(allowed, torch.zeros((), dtype=dtype, device=blocked.device), blocked).unsqueeze(1)

    def groups(self, image_token: int) -> Tensor:
        """Return the (B, T) codes of `token_groups.CODES`; tokens of answers are generated."""
        question = self.segment.clamp(min=1) - 1
        column = torch.arange(self.segment.shape[1], device=self.segment.device)
        is_answer = (self.segment > 0) & (column > self.last.gather(1, question.clamp(max=self.last.shape[1] - 1)))
        groups = prompt_groups(self.input_ids, [image_token])
        return groups.masked_fill(is_answer, CODES[Group.GENERATED])

    def to(self, device: torch.device | str) -> PackedBatch:
        """Return the batch on another device."""
        return PackedBatch(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def pack(
    items: Sequence[Tokenized],
    per_image: int,
    with_answers: bool,
    *,
    image_token: int,
    pad_token: int,
    batch_size: int = 64,
) -> list[PackedBatch]:
    """Return batches of packs of questions that share the prefix of all prompts about their image.

    If the shared prefix does not hold every image token, each question gets a separate pack.

    Args:
        items: tokenized questions.
        per_image: maximum number of questions per pack, at least 1.
        with_answers: True to append the answers, except their last token, and to set labels; if False, a question
            ends with its prompt and all labels are -100.
        image_token: id of image placeholders.
        pad_token: id of padding.
        batch_size: packs per batch, at least 1; the last batch may have fewer.

    Raises:
        ValueError: a prompt is empty, or a count is below 1.
    """
    if per_image < 1 or batch_size < 1:
        raise ValueError(f"per_image and batch_size must be at least 1, got {per_image} and {batch_size}")
    if any(not item.prompt for item in items):
        raise ValueError("every prompt must hold a token, got an empty one; check the chat template")
    groups = list(_groups(items, per_image, image_token))
    chunks = [groups[start : start + batch_size] for start in range(0, len(groups), batch_size)]
    return [_batch(items, chunk, with_answers, pad_token) for chunk in chunks]


def _groups(items: Sequence[Tokenized], per_image: int, image_token: int) -> Iterable[tuple[int, list[int]]]:
    """Yield the prefix length and the item indices of each pack, ordered by image."""
    order = sorted(range(len(items)), key=lambda index: items[index].image)
    for _, indices in groupby(order, key=lambda index: items[index].image):
        members = list(indices)
        prompts = [items[index].prompt for index in members]
        prefix = _shared_prefix(prompts)
        size = per_image if all(image_token not in prompt[prefix:] for prompt in prompts) else 1
        for start in range(0, len(members), size):
            yield prefix, members[start : start + size]


def _shared_prefix(prompts: Sequence[tuple[int, ...]]) -> int:
    """Return the length of the longest common prefix that leaves at least one further token to every prompt."""
    # The prefix shared by the first and last in lexicographic order is shared by all.
    first, final = min(prompts), max(prompts)
    pairs = zip(first, final, strict=False)
    same = next((index for index, (one, two) in enumerate(pairs) if one != two), len(first))
    return min(same, *(len(prompt) - 1 for prompt in prompts))


def _batch(
    items: Sequence[Tokenized], groups: Sequence[tuple[int, list[int]]], with_answers: bool, pad_token: int
) -> PackedBatch:
    rows = [_Row.of(items, prefix, members, with_answers) for prefix, members in groups]
    num_tokens = max(len(row.ids) for row in rows)
    num_questions = max(len(row.last) for row in rows)

    def table(name: str, fill: int, width: int) -> Tensor:
        lists = [getattr(row, name) for row in rows]
        return torch.tensor([values + [fill] * (width - len(values)) for values in lists], dtype=torch.long)

    return PackedBatch(
        input_ids=table("ids", pad_token, num_tokens),
        position_ids=table("positions", 0, num_tokens),
        segment=table("segment", -1, num_tokens),
        images=torch.tensor([items[members[0]].image for _, members in groups], dtype=torch.long),
        labels=table("labels", IGNORED, num_tokens),
        last=table("last", -1, num_questions),
        owner=table("owner", -1, num_questions),
    )


@dataclass
class _Row:
    """One pack during construction."""

    ids: list[int]
    positions: list[int]
    segment: list[int]
    labels: list[int]
    last: list[int]
    owner: list[int]

    @classmethod
    def of(cls, items: Sequence[Tokenized], prefix: int, members: Sequence[int], with_answers: bool) -> _Row:
        shared = list(items[members[0]].prompt[:prefix])
        row = cls(shared, list(range(prefix)), [0] * prefix, [IGNORED] * prefix, [], list(members))
        for number, index in enumerate(members, start=1):
            row._append(items[index], prefix, number, with_answers)
        return row

    def _append(self, item: Tokenized, prefix: int, number: int, with_answers: bool) -> None:
        own, answer = item.prompt[prefix:], item.answer if with_answers else ()
        fed = [*own, *answer[:-1]]
        self.last.append(len(self.ids) + len(own) - 1)
        self.ids += fed
        self.positions += range(prefix, prefix + len(fed))
        self.segment += [number] * len(fed)
        targets = [*answer] if with_answers else [IGNORED]
        self.labels += [IGNORED] * (len(fed) - len(targets)) + targets
