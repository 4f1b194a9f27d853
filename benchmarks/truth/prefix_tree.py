"""Scores plans on one set of questions, sharing what they have in common.

Plans that agree in their first blocks share the hidden states there, so all plans of a small space are walked depth
first as a tree: a node is the state after some blocks, an edge is the op of the next one. Attention and FFN of a node
are computed once for all ops that need them. Plans that come one by one find the states of those before. An answer
counts when each of its tokens is the likeliest given the right ones before: the same as decoding greedily and
comparing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from spaces.plan import Op, Plan
from workers.blocks.anatomy import Anatomy, Parts, anatomy_of
from workers.evaluation.margins import coarse, token_margins
from workers.inference.packed_batch import PackedBatch, pack
from workers.inference.packed_forward import embed
from workers.inference.packed_split import PackedSplit
from workers.models.loaded_model import LoadedModel

PER_IMAGE = 16
MOST_STATES = 1000
"""Hidden states kept for plans to come: a megabyte each for 256 questions of the embedded model."""
Choices = Sequence[tuple[Op, ...]]
"""The ops to try at every block of the model; `(Op.KEEP,)` at blocks that all plans keep."""


class Grades(NamedTuple):
    """How one plan answers its questions: (questions,) each."""

    right: np.ndarray
    """bool."""
    margins: np.ndarray
    """int8, by how much the right answer is ahead, in steps (`workers.evaluation.margins`)."""


@torch.inference_mode()
def score_all(
    loaded: LoadedModel,
    prepared: PackedSplit,
    questions: int,
    choices: Choices,
    tick: Callable[[int], None] = lambda _: None,
) -> Grades:
    """How every plan answers, plans in the order of `itertools.product`: (plans, questions) each.

    `tick` is called with the number of plans done, now and then.
    """
    tree, hidden = _rooted(loaded, prepared, questions)
    rows = []
    for number, grades in enumerate(tree.walk(hidden, choices), start=1):
        rows.append(grades)
        if number % 256 == 0:
            tick(number)
    return Grades(*map(np.stack, zip(*rows, strict=True)))


class Grader:
    """Scores plans that come one by one."""

    def __init__(self, loaded: LoadedModel, prepared: PackedSplit, questions: int) -> None:
        self._tree, root = _rooted(loaded, prepared, questions)
        self._states: dict[tuple[Op, ...], Tensor] = {(): root}
        """By the ops of the first blocks, the one used last at the end."""

    @torch.inference_mode()
    def grade(self, plan: Plan) -> Grades:
        """How a plan answers."""
        blocks, ops = self._tree.anatomy.parts, plan.ops
        depth = max(depth for depth in range(len(blocks)) if ops[:depth] in self._states)
        hidden = self._keep(ops[:depth], self._states[ops[:depth]])
        for block in range(depth, len(blocks)):
            last = block + 1 == len(blocks)
            (hidden,) = self._tree.after(blocks[block], hidden, ops[block : block + 1], last)
            if not last:
                self._keep(ops[: block + 1], hidden)
        return self._tree.grade(hidden)

    def _keep(self, ops: tuple[Op, ...], hidden: Tensor) -> Tensor:
        """Remembers a state; where there are too many, the one unused for longest goes, but never the root."""
        self._states.pop(ops, None)
        self._states[ops] = hidden
        if len(self._states) > MOST_STATES:
            self._states.pop(next(key for key in self._states if key))
        return hidden


def _rooted(loaded: LoadedModel, prepared: PackedSplit, questions: int) -> tuple[_Tree, Tensor]:
    """The tree of the first questions, and the hidden states that all plans start from."""
    items = prepared.items[:questions]
    (batch,) = pack(
        items,
        PER_IMAGE,
        with_answers=True,
        image_token=loaded.image_token,
        pad_token=loaded.pad_token,
        batch_size=len(items),
    )
    with torch.inference_mode():
        tree = _Tree.of(loaded, batch.to(loaded.device), len(items))
        return tree, embed(loaded, batch.input_ids, prepared.features[batch.images])


@dataclass(frozen=True)
class _Tree:
    """What all nodes share: the model's parts and where the answers are."""

    loaded: LoadedModel
    anatomy: Anatomy
    rotary: tuple[Tensor, Tensor]
    mask: Tensor
    labels: Tensor
    """(B, T) next-token targets; -100 elsewhere."""
    owner: Tensor
    """(labeled positions,) the question each belongs to."""
    num_questions: int

    @classmethod
    def of(cls, loaded: LoadedModel, batch: PackedBatch, num_questions: int) -> _Tree:
        anatomy = anatomy_of(loaded.model)
        labeled = batch.labels >= 0
        owner = batch.owner[labeled.nonzero()[:, 0], batch.segment[labeled] - 1]
        anything = loaded.model.get_input_embeddings()(batch.input_ids[:1])
        return cls(
            loaded=loaded,
            anatomy=anatomy,
            rotary=anatomy.decoder.rotary_emb(anything, batch.position_ids),
            mask=batch.mask(loaded.model.dtype),
            labels=batch.labels,
            owner=owner,
            num_questions=num_questions,
        )

    def walk(self, hidden: Tensor, choices: Choices, depth: int = 0) -> Iterator[Grades]:
        """How every plan below a node answers."""
        if depth == len(self.anatomy.parts):
            yield self.grade(hidden)
            return
        last = depth + 1 == len(self.anatomy.parts)
        for state in self.after(self.anatomy.parts[depth], hidden, choices[depth], last):
            yield from self.walk(state, choices, depth + 1)

    def after(self, parts: Parts, hidden: Tensor, ops: tuple[Op, ...], last: bool) -> Iterator[Tensor]:
        """The hidden states after each op; after the last block only those that predict a token of an answer."""
        (ffn,), ffn_norm = parts.ffn, parts.ffn_norm
        attended = fed = None
        if any(op.runs_attention for op in ops):
            normed = parts.attention_norm(hidden)
            attended = hidden + parts.attention(normed, position_embeddings=self.rotary, attention_mask=self.mask)[0]
        if last:
            labeled = self.labels >= 0
            hidden = hidden[labeled]
            attended = None if attended is None else attended[labeled]
        if Op.SKIP_ATTN in ops or Op.PARALLEL in ops:
            fed = ffn(ffn_norm(hidden))
        for op in ops:
            if op is Op.KEEP:
                yield attended + ffn(ffn_norm(attended))
            elif op is Op.SKIP_ATTN:
                yield hidden + fed
            elif op is Op.SKIP_FFN:
                yield attended
            elif op is Op.PARALLEL:
                yield attended + fed
            else:
                yield hidden

    def grade(self, hidden: Tensor) -> Grades:
        """Right is an answer whose every token is the likeliest; `hidden` is (labeled, width)."""
        logits, wanted = self.loaded.head(self.anatomy.decoder.norm(hidden)), self.labels[self.labels >= 0]
        right = np.ones(self.num_questions, dtype=bool)
        right[self.owner[logits.argmax(-1) != wanted].numpy(force=True)] = False
        margins = np.full(self.num_questions, np.inf)
        np.minimum.at(margins, self.owner.numpy(force=True), token_margins(logits, wanted).numpy(force=True))
        return Grades(right, coarse(margins))
