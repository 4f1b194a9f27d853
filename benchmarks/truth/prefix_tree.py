"""Grades many plans on one set of questions with shared computation.

Plans with the same first blocks share the hidden states after them, so all plans of a small space are traversed depth
first as a tree: a node is the state after some blocks, an edge is the op of the next one. Attention and FFN of a node
are computed once for all ops that need them. Plans graded one at a time reuse states of earlier ones. An answer is
right if each of its tokens is the most likely one given the right ones before it, which is equivalent to greedy
decoding and comparing.
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
MAX_STATES = 1000
"""Largest number of stored hidden states; one takes 1 MB for 256 questions of the embedded model."""
Choices = Sequence[tuple[Op, ...]]
"""Ops to try at every block of the model; `(Op.KEEP,)` at blocks that all plans keep."""


class Grades(NamedTuple):
    """The grades of one plan's answers, (questions,) each."""

    right: np.ndarray
    """bool, True for a right answer."""
    margins: np.ndarray
    """int8, lead of the right answer in steps (`workers.evaluation.margins`)."""


@torch.inference_mode()
def score_all(
    loaded: LoadedModel,
    prepared: PackedSplit,
    questions: int,
    choices: Choices,
    tick: Callable[[int], None] = lambda _: None,
) -> Grades:
    """Return the grades of every plan, in the order of `itertools.product`: (plans, questions) each.

    Args:
        loaded: the model.
        prepared: the split.
        questions: number of questions from its start.
        choices: the ops of every block.
        tick: called with the number of graded plans, at intervals.
    """
    tree, hidden = _rooted(loaded, prepared, questions)
    rows = []
    for number, grades in enumerate(tree.walk(hidden, choices), start=1):
        rows.append(grades)
        if number % 256 == 0:
            tick(number)
    return Grades(*map(np.stack, zip(*rows, strict=True)))


class Grader:
    """Grades plans one at a time."""

    def __init__(self, loaded: LoadedModel, prepared: PackedSplit, questions: int) -> None:
        self._tree, root = _rooted(loaded, prepared, questions)
        self._states: dict[tuple[Op, ...], Tensor] = {(): root}
        """Ops of the first blocks -> hidden states, with the last used one at the end."""

    @torch.inference_mode()
    def grade(self, plan: Plan) -> Grades:
        """Return the grades of a plan."""
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
        """Store a state; above the limit, remove the least recently used one except the root."""
        self._states.pop(ops, None)
        self._states[ops] = hidden
        if len(self._states) > MAX_STATES:
            self._states.pop(next(key for key in self._states if key))
        return hidden


def _rooted(loaded: LoadedModel, prepared: PackedSplit, questions: int) -> tuple[_Tree, Tensor]:
    """Return the tree of the first questions and the hidden states at which all plans start."""
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
    """The values shared by all nodes: the model's parts and the positions of the answers."""

    loaded: LoadedModel
    anatomy: Anatomy
    rotary: tuple[Tensor, Tensor]
    mask: Tensor
    labels: Tensor
    """(B, T) next-token targets; -100 elsewhere."""
    owner: Tensor
    """(labeled positions,) index of the question of each position."""
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
        """Yield the grades of every plan below a node."""
        if depth == len(self.anatomy.parts):
            yield self.grade(hidden)
            return
        last = depth + 1 == len(self.anatomy.parts)
        for state in self.after(self.anatomy.parts[depth], hidden, choices[depth], last):
            yield from self.walk(state, choices, depth + 1)

    def after(self, parts: Parts, hidden: Tensor, ops: tuple[Op, ...], last: bool) -> Iterator[Tensor]:
        """Yield the hidden states after each op; after the last block, only those that predict a token of an answer."""
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
        """Return the grades for hidden states, (labeled, width).

        An answer is right if each of its tokens is the most likely one.
        """
        logits, wanted = self.loaded.head(self.anatomy.decoder.norm(hidden)), self.labels[self.labels >= 0]
        right = np.ones(self.num_questions, dtype=bool)
        right[self.owner[logits.argmax(-1) != wanted].numpy(force=True)] = False
        margins = np.full(self.num_questions, np.inf)
        np.minimum.at(margins, self.owner.numpy(force=True), token_margins(logits, wanted).numpy(force=True))
        return Grades(right, coarse(margins))
