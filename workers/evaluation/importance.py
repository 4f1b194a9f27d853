"""How much every attention and FFN matters for the right answers: gradients of gates on what they add to the residual.

A gate a sequence and half, each open as far as chance has it, between shut and open. The slope along a gate, averaged
over how far it and the others are open, is what opening it wins among plans of all sizes (Erion et al. 2021,
arXiv 1906.10670, take such expected gradients for attributions). With every gate at the same place, open or half open
(as Kwon et al. 2022, arXiv 2204.09656, do to find prunable heads), it says less of what plans reach.

Legend: B sequences, T rows of the pass, L blocks, D width; a half is the attention or the FFN of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workers.blocks.anatomy import Parts, anatomy_of
from workers.inference.finite import NonFinite, check_logits
from workers.inference.prepare import AnswerBatch, Prepared
from workers.models.loaded_model import LoadedModel
from workers.requests import Importance

AT_ONCE = 8
"""Questions in a batch, a sequence each: as many sequences as a tuning step of the default recipe has at least, for a
backward pass keeps what the forward pass computed."""
DRAWS = 4
"""Of the gates, for every question: by one, what is said of a half is off by a tenth to a fifth, on some hundred
questions; by four, by half of that."""


def gate_importance(loaded: LoadedModel, prepared: Prepared, questions: int, seed: int) -> Importance:
    """Per block the importance of its attention and of its FFN, over the first `questions` questions.

    That is what opening a gate wins, in nats: the mean over the questions and `DRAWS` draws of the gates of
    -d NLL / d gate where that is positive, where NLL is minus the sum of the log-probabilities of the tokens of the
    right answer, the end of sequence among them. What opening costs other questions is not taken off: far from the
    dense model an answer gets worse by chance. 0 where nothing depends on the gate, as under a plan that skips the
    half. A draw takes about as long as three forward passes with each question in a sequence of its own: packed ones
    would share the gates of their prefix.

    Args:
        questions: from 1 to the length of the split.
        seed: of the gates.

    Raises:
        NonFinite: a logit or a gradient is NaN or infinite.
    """
    wins = gate_wins(loaded, prepared, questions, seed).mean(-1)
    return tuple((attention, ffn) for attention, ffn in wins.tolist())


def gate_wins(loaded: LoadedModel, prepared: Prepared, questions: int, seed: int) -> Tensor:
    """(L, 2, questions) float64 on the CPU: what a wider gate wins, in nats, 0 where it loses, the mean of the draws.
    Raises NonFinite."""
    return gate_slopes(loaded, prepared, questions, seed).double().neg().clamp(min=0).mean(0)


def gate_slopes(loaded: LoadedModel, prepared: Prepared, questions: int, seed: int) -> Tensor:
    """(DRAWS, L, 2, questions) float32 d NLL / d gate on the CPU, of the first questions in their order. Raises
    NonFinite."""
    parts = anatomy_of(loaded.model).parts
    gates = random_gates(len(parts), questions, seed)
    slopes = []
    for chosen in torch.arange(questions).split(AT_ONCE):
        batch = prepared.answer_batch(loaded, chosen.tolist(), per_image=1)
        slopes.append(torch.stack([_slopes(loaded, prepared, parts, batch, draw[..., chosen]) for draw in gates]))
    return torch.cat(slopes, dim=-1)


def random_gates(num_blocks: int, questions: int, seed: int) -> Tensor:
    """(DRAWS, L, 2, questions) float32 on the CPU, from 0, shut, to 1, open: uniform and independent."""
    return torch.rand(DRAWS, num_blocks, 2, questions, generator=torch.Generator().manual_seed(seed))


@torch.enable_grad()
def _slopes(
    loaded: LoadedModel, prepared: Prepared, parts: Sequence[Parts], batch: AnswerBatch, in_order: Tensor
) -> Tensor:
    """(L, 2, B) of every question of an answer batch, given its gates."""
    order = batch.order.cpu()
    gates = in_order[..., order].to(loaded.device).requires_grad_()
    with gated(parts, gates):
        logits = prepared.answer_logits(loaded, batch)
    check_logits(logits)
    # No sequence sees another, so the gradient of the sum holds every question's own.
    loss = F.cross_entropy(logits, batch.targets, reduction="sum")
    if not loss.requires_grad:  # a plan that skips every half
        return torch.zeros(gates.shape)
    (slopes,) = torch.autograd.grad(loss, gates, allow_unused=True, materialize_grads=True)
    if not torch.isfinite(slopes).all():
        raise NonFinite("gradients of the gates must be finite, got NaN or infinity: take bfloat16 or float32")
    return slopes.cpu()[..., order.argsort()]


@contextmanager
def gated(parts: Sequence[Parts], gates: Tensor) -> Iterator[None]:
    """Inside the `with`, what the halves of all blocks add to the residual is multiplied by gates.

    Args:
        gates: (L, 2, B) of attention and FFN; the same in every pass over the B sequences.
    """
    with ExitStack() as hooks:
        for part, (attention, ffn) in zip(parts, gates, strict=True):
            _gate(hooks, part, part.attention, attention)
            _gate(hooks, part, part.ffn[-1], ffn)
        yield


def _gate(hooks: ExitStack, part: Parts, half: nn.Module, gate: Tensor) -> None:
    """Multiplies what a half gives, or a norm makes of it: in Gemma's blocks one follows, which would undo a gate."""
    given: list[tuple[Tensor, Tensor]] = []
    """What the half gave last, and the same behind the gate."""

    def close(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        hidden, *extras = output if isinstance(output, tuple) else (output,)
        given[:] = [(hidden, _times(hidden, gate))]
        return (given[0][1], *extras) if isinstance(output, tuple) else given[0][1]

    def reopen(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        reads_it = given and args and args[0] is given[0][1]
        return (given[0][0], *args[1:]) if reads_it else None

    def close_behind(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        return _times(output, gate) if given and args and args[0] is given[0][0] else None

    hooks.callback(half.register_forward_hook(close).remove)
    for child in part.block.children():
        if child is not part.attention and child not in part.ffn:
            hooks.callback(child.register_forward_pre_hook(reopen).remove)
            hooks.callback(child.register_forward_hook(close_behind).remove)


def _times(hidden: Tensor, gate: Tensor) -> Tensor:
    """(B, T, D), or (B * T, D) as OPT's FFN works, with the rows of a sequence multiplied by its gate of (B,)."""
    by_sequence = hidden.reshape(len(gate), -1, hidden.shape[-1])
    return (by_sequence * gate.to(hidden.dtype)[:, None, None]).view(hidden.shape)
