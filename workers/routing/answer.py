"""Answers the questions of a split with each of several plans, each with its own tuned mapping module."""

from __future__ import annotations

from pathlib import Path

from workers.apply_plan import apply_plan
from workers.evaluation.evaluate import Evaluation, evaluate
from workers.requests import TrialRequest
from workers.session import Session
from workers.sources import Split


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
    if request.plan.is_calibrated:
        session.calibrate()
    session.make_dense()
    try:
        if request.mapping_module:
            session.read_mapping_module(Path(request.mapping_module), request)
        with apply_plan(session.loaded.model, request.plan, session.pruning_inputs):
            return evaluate(session.loaded, prepared, session.metric(request))
    finally:
        session.make_dense()
