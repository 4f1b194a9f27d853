"""Answers packed questions by greedy decoding with a KV cache.

The prefill runs whole packs. Each decode step then feeds one token per question that has not ended; most answers are
one word, so later steps are small. A new token attends to the prefix and to its own question, as in the pack. The
answers equal those of `model.generate` on the plain prompts.

Legend: B: packs; Q: questions in the fullest pack; W: rows of a decode step (unfinished questions of the fullest
pack); N: unfinished questions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from workers.inference.check_finite import check_logits
from workers.inference.packed_batch import PackedBatch
from workers.inference.packed_forward import decode, read
from workers.models.loaded_model import LoadedModel


def answer_batch(
    loaded: LoadedModel, features: Tensor, batch: PackedBatch, max_new_tokens: int, ids: list[list[int]]
) -> None:
    """Append the generated ids of each question of the batch to its list in `ids`.

    Args:
        loaded: the model.
        features: (images, visual tokens, vision width) inputs of the mapping module.
        batch: packs without answers.
        max_new_tokens: limit of generated tokens per question.
        ids: one list per question of the split, changed in place.

    Raises:
        NonFinite: a logit is NaN or infinite.
    """
    cache = DynamicCache(config=loaded.model.config.get_text_config())
    hidden = read(loaded, batch, features, cache)
    pack, slot = (batch.last >= 0).nonzero(as_tuple=True)
    last = batch.last[pack, slot]
    tokens = _greedy(loaded, hidden[pack, last])
    live = _Live(
        pack=pack,
        segment=slot + 1,
        position=batch.position_ids[pack, last] + 1,
        owner=batch.owner[pack, slot],
        columns=batch.segment,
    )
    ends = torch.tensor(loaded.end_tokens, device=tokens.device)
    for step in range(max_new_tokens):
        live.record(tokens, ids)
        goes_on = ~torch.isin(tokens, ends)
        if step + 1 == max_new_tokens or not goes_on.any():
            return
        tokens = live.keep(goes_on, cache, tokens)
        hidden = live.step(loaded, cache, tokens)
        tokens = _greedy(loaded, hidden)


def _greedy(loaded: LoadedModel, hidden: Tensor) -> Tensor:
    """Return the (N,) likeliest next tokens for (N, width) hidden states. Raises NonFinite."""
    logits: Tensor = loaded.head(hidden)
    check_logits(logits)
    return logits.argmax(-1)


@dataclass
class _Live:
    """The unfinished questions of a batch, as (N,) tensors ordered by pack."""

    pack: Tensor
    segment: Tensor
    position: Tensor
    """Position of the next token."""
    owner: Tensor
    columns: Tensor
    """(B, keys) segment of each cached token."""

    def record(self, tokens: Tensor, ids: list[list[int]]) -> None:
        """Append each question's token to its list in `ids`."""
        for owner, token in zip(self.owner.tolist(), tokens.tolist(), strict=True):
            ids[owner].append(token)

    def keep(self, goes_on: Tensor, cache: DynamicCache, tokens: Tensor) -> Tensor:
        """Drop finished questions, and packs without unfinished ones from the cache; return the remaining tokens."""
        packs, self.pack = torch.unique(self.pack[goes_on], return_inverse=True)
        self.segment, self.position, self.owner = (
            values[goes_on] for values in (self.segment, self.position, self.owner)
        )
        if len(packs) < len(self.columns):
            self.columns = self.columns[packs]
            cache.batch_select_indices(packs)
        return tokens[goes_on]

    def step(self, loaded: LoadedModel, cache: DynamicCache, tokens: Tensor) -> Tensor:
        """Feed one token per unfinished question and return the (N, width) hidden states."""
        first = torch.searchsorted(self.pack, self.pack)
        place = (self.pack, torch.arange(len(self.pack), device=first.device) - first)
        shape = (len(self.columns), int(place[1].max()) + 1)
        ids, positions = (_table(shape, place, values, 0) for values in (tokens, self.position))
        segment = _table(shape, place, self.segment, -1)
        self.columns = torch.cat([self.columns, segment], dim=1)
        embeddings = loaded.model.get_input_embeddings()(ids)
        hidden = decode(loaded, embeddings, _mask(segment, self.columns, embeddings.dtype), positions, cache)
        self.position = self.position + 1
        return hidden[place]


def _table(shape: tuple[int, int], place: tuple[Tensor, Tensor], values: Tensor, fill: int) -> Tensor:
    """Return a (B, W) int64 table with flat `values` at `place` and `fill` elsewhere."""
    table = torch.full(shape, fill, dtype=torch.long, device=values.device)
    return table.index_put(place, values)


def _mask(rows: Tensor, columns: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the (B, 1, W, keys) additive mask: a row attends to the prefix (segment 0) and its own segment."""
    allowed = (columns[:, None, :] == 0) | (columns[:, None, :] == rows[:, :, None])
    blocked = torch.full((), torch.finfo(dtype).min, dtype=dtype, device=rows.device)
    return torch.where(allowed, torch.zeros((), dtype=dtype, device=rows.device), blocked).unsqueeze(1)
