"""How much every attention and FFN matters for the right answers: gradients of gates on what they add to the residual.

The diagonal of the empirical Fisher information of the gates (Kwon et al. 2022, arXiv 2204.09656), one gate a sequence
and half. They take it at open gates; here all are half open, because a skip is a long way from open to shut and the
slope half way says more about it: on the embedded model it ranks plans better.

Legend: B sequences, T rows of the pass, L blocks, D width; a half is the attention or the FFN of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workers.anatomy import Parts, anatomy_of
from workers.finite import NonFinite, check_logits
from workers.loading import LoadedModel
from workers.prepare import Prepared
from workers.requests import Importance

OPEN = 0.5
"""How far all gates are open: 1 is the model as it is, 0 without attention and FFN."""
AT_ONCE = 8
"""Questions in a batch, a sequence each: as many sequences as a tuning step of the default recipe has at least, for a
backward pass keeps what the forward pass computed."""


def gate_importance(loaded: LoadedModel, prepared: Prepared, questions: int) -> Importance:
    """Per block the importance of its attention and of its FFN, over the first `questions` questions.

    That is the mean over the questions of (d NLL / d gate)^2, where NLL is minus the sum of the log-probabilities, in
    nats, of the tokens of the right answer, the end of sequence among them. 0 where nothing depends on the gate, as
    under a plan that skips the half. Takes about as long as three forward passes with each question in a sequence of
    its own: packed ones would share the gates of their prefix.

    Args:
        questions: from 1 to the length of the split.

    Raises:
        NonFinite: a logit or a gradient is NaN or infinite.
    """
    squares = gate_slopes(loaded, prepared, questions).double().square().mean(-1)
    return tuple((attention, ffn) for attention, ffn in squares.tolist())


def gate_slopes(loaded: LoadedModel, prepared: Prepared, questions: int) -> Tensor:
    """(L, 2, questions) float32 d NLL / d gate on the CPU, of the first questions in their order. Raises NonFinite."""
    parts = anatomy_of(loaded.model).parts
    starts = range(0, questions, AT_ONCE)
    return torch.cat([_slopes(loaded, prepared, parts, range(s, min(s + AT_ONCE, questions))) for s in starts], dim=-1)


@torch.enable_grad()
def _slopes(loaded: LoadedModel, prepared: Prepared, parts: Sequence[Parts], chosen: Sequence[int]) -> Tensor:
    """(L, 2, B) of every chosen question."""
    lesson = prepared.lesson(loaded, chosen, per_image=1)
    shape = (len(parts), 2, len(chosen))
    gates = torch.full(shape, OPEN, dtype=torch.float32, device=loaded.device, requires_grad=True)
    with gated(parts, gates):
        logits = prepared.answer_logits(loaded, lesson)
    check_logits(logits)
    # No sequence sees another, so the gradient of the sum holds every question's own.
    loss = F.cross_entropy(logits, lesson.targets, reduction="sum")
    if not loss.requires_grad:  # a plan that skips every half
        return torch.zeros(shape)
    (slopes,) = torch.autograd.grad(loss, gates, allow_unused=True, materialize_grads=True)
    if not torch.isfinite(slopes).all():
        raise NonFinite("gradients of the gates must be finite, got NaN or infinity: take bfloat16 or float32")
    in_order = torch.empty(gates.shape)
    in_order[..., lesson.order.cpu()] = slopes.cpu()
    return in_order


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
