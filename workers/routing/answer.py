"""Answers the questions of a split with each of several plans, each with its own tuned mapping module."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from objectives.metrics import METRICS, Reads
from workers.apply_plan import apply_plan
from workers.evaluation.evaluate import Evaluation, answer, evaluate
from workers.evaluation.likelihood import token_scores
from workers.evaluation.margins import token_margins
from workers.requests import TrialRequest
from workers.session import Session
from workers.sources import Split


@contextmanager
def _under(session: Session, request: TrialRequest) -> Iterator[None]:
    """Apply a plan and its mapping module inside the `with` block, and restore the dense one at its end."""
    if request.plan.is_calibrated:
        session.calibrate()
    session.make_dense()
    try:
        if request.mapping_module:
            session.read_mapping_module(Path(request.mapping_module), request)
        with apply_plan(session.loaded.model, request.plan, session.pruning_inputs):
            yield
    finally:
        session.make_dense()


def digest_of_weights(session: Session, request: TrialRequest) -> str:
    """Return a digest of the tuned weights of a plan, its mapping module; equal if the weights are.

    Args:
        session: the loaded model and data.
        request: the plan and its mapping module.
    """
    with _under(session, request):
        weights = sorted(session.loaded.weights.items())
        data = [f"{name} {each.dtype} {tuple(each.shape)}".encode() + _bytes(each) for name, each in weights]
    return hashlib.sha256(b"".join(data)).hexdigest()


def _bytes(weight: Tensor) -> bytes:
    return weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()


def answer_split(session: Session, request: TrialRequest, split: Split) -> Evaluation:
    """Return the answers and scores of a plan on a split; the dense mapping module is restored at the end.

    Args:
        session: the loaded model and data.
        request: the plan and its mapping module.
        split: name of the split.

    Raises:
        NonFinite: a logit is NaN or infinite.
        ValueError: the mapping module cannot be read.
    """
    prepared = session.split(split)
    with _under(session, request):
        return evaluate(session.loaded, prepared, session.metric(request))


def answer_margins_of(session: Session, request: TrialRequest, split: Split) -> tuple[float, ...]:
    """Return the margin of each answer that a plan gives: the smallest one of its tokens, in nats.

    The margin of a token is its logit minus the highest other one.

    Args:
        session: the loaded model and data.
        request: the plan and its mapping module.
        split: name of the split.

    Raises:
        NonFinite: a logit is NaN or infinite.
        ValueError: the metric does not read generated answers, or the mapping module cannot be read.
    """
    metric = session.metric(request)
    if METRICS[metric].reads is not Reads.ANSWERS:
        raise ValueError(f"a cascade needs a metric of generated answers, got {metric}: leave --cascade out")
    loaded, prepared = session.loaded, session.split(split)
    with _under(session, request):
        pairs = list(enumerate(answer(loaded, prepared, len(prepared.samples))))
        return tuple(min(own) for own in token_scores(loaded, prepared, pairs, token_margins))
