"""Measures the importance of each attention and FFN for the right answers, by gradients of gates on their outputs.

Draw one random gate in [0, 1] per sequence and sub-layer. The gradient along a gate, averaged over the draws, estimates
the gain from keeping the sub-layer among plans of all sizes; Erion et al. 2021 (arXiv 1906.10670) use such expected
gradients for attributions. Equal values of all gates, as Kwon et al. 2022 (arXiv 2204.09656) use to find prunable
heads, predict the accuracy of plans less well.

Legend: B: sequences; T: rows of the pass; L: blocks; D: width. A sub-layer is the attention or the FFN of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workers.blocks.anatomy import Parts, anatomy_of
from workers.inference.check_finite import NonFinite, check_logits
from workers.inference.prepare import AnswerBatch, Prepared
from workers.models.loaded_model import LoadedModel
from workers.reports import Importance

AT_ONCE = 8
"""Number of questions per batch, one per sequence; bounds the memory of the backward pass."""
DRAWS = 4
"""Number of random gates per question and sub-layer. Relative error with 1 draw: 10-20 %; with 4 draws: 5-10 %."""


def gate_importance(loaded: LoadedModel, prepared: Prepared, questions: int, seed: int) -> Importance:
    """Return the importance of the attention and the FFN of each block, in nats.

    It is the mean of max(0, -d NLL / d gate) over the questions and `DRAWS` draws of the gates. NLL is the negative
    log-likelihood of the right answer including end-of-sequence. Negative gains are not subtracted, since far from the
    dense model answers also get worse by chance. The importance is 0 if nothing depends on the gate, as under a plan
    that skips the sub-layer. One draw takes about as long as three forward passes. Each question has its own sequence,
    since packed questions would share the gates of their prefix.

    Args:
        loaded: the model.
        prepared: the split.
        questions: number of questions from the first, between 1 and the length of the split.
        seed: seed of the gates.

    Returns:
        One pair (attention, FFN) per block.

    Raises:
        NonFinite: a logit or a gradient is NaN or infinite.
    """
    wins = gate_wins(loaded, prepared, questions, seed).mean(-1)
    return tuple((attention, ffn) for attention, ffn in wins.tolist())


def gate_wins(loaded: LoadedModel, prepared: Prepared, questions: int, seed: int) -> Tensor:
    """Return max(0, -d NLL / d gate) per question, averaged over the draws, in nats.

    Args:
        loaded, prepared, questions, seed: as in `gate_importance`.

    Returns:
        (L, 2, questions) float64 on the CPU.

    Raises:
        NonFinite: a logit or a gradient is NaN or infinite.
    """
    return gate_slopes(loaded, prepared, questions, seed).double().neg().clamp(min=0).mean(0)


def gate_slopes(loaded: LoadedModel, prepared: Prepared, questions: int, seed: int) -> Tensor:
    """Return d NLL / d gate, in nats, of the first questions in their order.

    Args:
        loaded, prepared, questions, seed: as in `gate_importance`.

    Returns:
        (DRAWS, L, 2, questions) float32 on the CPU.

    Raises:
        NonFinite: a logit or a gradient is NaN or infinite.
    """
    parts = anatomy_of(loaded.model).parts
    gates = random_gates(len(parts), questions, seed)
    slopes = []
    for chosen in torch.arange(questions).split(AT_ONCE):
        batch = prepared.answer_batch(loaded, chosen.tolist(), per_image=1)
        slopes.append(torch.stack([_slopes(loaded, prepared, parts, batch, draw[..., chosen]) for draw in gates]))
    return torch.cat(slopes, dim=-1)


def random_gates(num_blocks: int, questions: int, seed: int) -> Tensor:
    """Return independent uniform gates in [0, 1), (DRAWS, L, 2, questions) float32 on the CPU; 0 skips a sub-layer."""
    return torch.rand(DRAWS, num_blocks, 2, questions, generator=torch.Generator().manual_seed(seed))


@torch.enable_grad()
def _slopes(
    loaded: LoadedModel, prepared: Prepared, parts: Sequence[Parts], batch: AnswerBatch, in_order: Tensor
) -> Tensor:
    """Return d NLL / d gate per question of an answer batch, (L, 2, B), for gates `in_order` of that shape."""
    order = batch.order.cpu()
    gates = in_order[..., order].to(loaded.device).requires_grad_()
    with gated(parts, gates):
        logits = prepared.answer_logits(loaded, batch)
    check_logits(logits)
    # Sequences are independent, so the gradient of the sum holds the gradient of each question.
    loss = F.cross_entropy(logits, batch.targets, reduction="sum")
    if not loss.requires_grad:  # a plan that skips every sub-layer
        return torch.zeros(gates.shape)
    (slopes,) = torch.autograd.grad(loss, gates, allow_unused=True, materialize_grads=True)
    if not torch.isfinite(slopes).all():
        raise NonFinite("gradients of the gates must be finite, got NaN or infinity: take bfloat16 or float32")
    return slopes.cpu()[..., order.argsort()]


@contextmanager
def gated(parts: Sequence[Parts], gates: Tensor) -> Iterator[None]:
    """Multiply the outputs of the sub-layers of all blocks by gates, inside the `with` block.

    Args:
        parts: parts of each block.
        gates: (L, 2, B) gates of attention and FFN, the same in every pass over the B sequences.
    """
    with ExitStack() as hooks:
        for part, (attention, ffn) in zip(parts, gates, strict=True):
            _gate(hooks, part, part.attention, attention)
            _gate(hooks, part, part.ffn[-1], ffn)
        yield


def _gate(hooks: ExitStack, part: Parts, module: nn.Module, gate: Tensor) -> None:
    """Gate the output of a sub-layer, or of the norm that reads it (as in Gemma), which would undo the gate."""
    given: list[tuple[Tensor, Tensor]] = []
    """Last output of the sub-layer, without and with the gate."""

    def close(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        hidden, *extras = output if isinstance(output, tuple) else (output,)
        given[:] = [(hidden, _times(hidden, gate))]
        return (given[0][1], *extras) if isinstance(output, tuple) else given[0][1]

    def reopen(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        reads_it = given and args and args[0] is given[0][1]
        return (given[0][0], *args[1:]) if reads_it else None

    def close_behind(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        return _times(output, gate) if given and args and args[0] is given[0][0] else None

    hooks.callback(module.register_forward_hook(close).remove)
    for child in part.block.children():
        if child is not part.attention and child not in part.ffn:
            hooks.callback(child.register_forward_pre_hook(reopen).remove)
            hooks.callback(child.register_forward_hook(close_behind).remove)


def _times(hidden: Tensor, gate: Tensor) -> Tensor:
    """Return (B, T, D), or (B * T, D) as in OPT's FFN, with the rows of each sequence times its (B,) gate."""
    by_sequence = hidden.reshape(len(gate), -1, hidden.shape[-1])
    return (by_sequence * gate.to(hidden.dtype)[:, None, None]).view(hidden.shape)
