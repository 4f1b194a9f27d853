"""Measures the untuned rung of several trials in one pass through the tree of their plans.

The reports equal those of the trials run alone, except for their seconds. Trials that can't share, and those that fail
here, are left to be run alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import TypeVar

import torch

from objectives.metrics import METRICS, Reads
from spaces.plan import Plan, PlanError
from workers.evaluation.evaluate import score_texts, texts_of
from workers.evaluation.likelihood import score_steps
from workers.evaluation.margins import joined, right_answers, token_margins
from workers.inference.check_finite import NonFinite
from workers.inference.prepare import Prepared
from workers.prefix_tree import PrefixTree
from workers.reports import RungReport
from workers.requests import TrialRequest
from workers.rungs import RunningTrial
from workers.session import Session

S = TypeVar("S")
T = TypeVar("T")

log = logging.getLogger(__name__)


def alike(requests: Sequence[TrialRequest]) -> bool:
    """Return True if the next rung of all requests can be measured together.

    They must differ in nothing but their plan, number and artifacts, and the rung must be untuned and measure answers
    and margins only.
    """
    first = requests[0]
    rung = first.rungs[first.first_rung]
    if rung.tuning_steps or rung.importance or rung.floor or rung.latency or first.mapping_module:
        return False
    same = {"plan": first.plan, "number": first.number, "artifacts": first.artifacts}
    return all(request.model_copy(update=same) == first for request in requests)


def measure_together(session: Session, requests: Sequence[TrialRequest]) -> list[RungReport | None]:
    """Return the report of the next rung of each request; None for a plan that fails, which must be run alone.

    The model must be dense. Every report has an equal share of the seconds.

    Args:
        session: the loaded model and data.
        requests: requests that are `alike`, in any order; a plan may occur several times.

    Raises:
        MemoryError, RuntimeError: memory ran out with the smallest batches.
    """
    torch.manual_seed(requests[0].seed)
    number = requests[0].first_rung
    rung = requests[0].rungs[number]
    untuned = {"rungs": requests[0].rungs[: number + 1]}
    trials = [RunningTrial(session, request.model_copy(update=untuned)) for request in requests]
    prepared, metric, plans = session.split(rung.split), trials[0].metric, [request.plan for request in requests]
    questions, start = len(prepared.samples[: rung.questions]), perf_counter()
    ids = prepared.budget.fit(lambda: _answers(session, prepared, plans, questions))
    results = [None if own is None else score_texts(prepared, metric, texts_of(session.loaded, own)) for own in ids]
    seconds = {"evaluate": (perf_counter() - start) / len(plans)}
    margins: Sequence[tuple[float, ...] | None] = [None] * len(plans)
    if rung.margins:
        tokens = prepared.budget.fit(lambda: _margins(session, prepared, plans, questions))
        margins = [None if own is None else joined(metric, own) for own in tokens]
        seconds["margins"] = (perf_counter() - start) / len(plans) - seconds["evaluate"]
    return [
        None
        if result is None or (rung.margins and margin is None)
        else trial.report(number, rung, result, seconds, margins=margin)
        for trial, result, margin in zip(trials, results, margins, strict=True)
    ]


def generates(session: Session, request: TrialRequest) -> bool:
    """Return True if the metric of a request reads generated answers, which is what `measure_together` shares."""
    return METRICS[session.metric(request)].reads is Reads.ANSWERS


def _answers(
    session: Session, prepared: Prepared, plans: Sequence[Plan], questions: int
) -> list[list[list[int]] | None]:
    """Return the token ids of all answers per plan; None for a plan that fails."""
    ids: list[list[list[int]]] = [[[] for _ in range(questions)] for _ in plans]
    done = _under_each(session, plans, prepared.answer_steps(session.loaded, questions), lambda step, i: step(ids[i]))
    return [own if done[index] is not None else None for index, own in enumerate(ids)]


def _margins(
    session: Session, prepared: Prepared, plans: Sequence[Plan], questions: int
) -> list[list[list[float]] | None]:
    """Return the margins of the tokens of all right answers per plan; None for a plan that fails."""
    steps = score_steps(session.loaded, prepared, right_answers(prepared, questions), token_margins)
    done = _under_each(session, plans, steps, lambda step, _: step())
    return [None if batches is None else [own for batch in batches for own in batch] for batches in done]


def _under_each(
    session: Session, plans: Sequence[Plan], batches: Iterable[S], run: Callable[[S, int], T]
) -> list[list[T] | None]:
    """Run every batch under every plan.

    Args:
        session: the loaded model.
        plans: the plans.
        batches: the batches, each of which runs under all plans before the next.
        run: runs a batch for the plan with an index, which is applied to the model.

    Returns:
        Per plan what `run` returned for the batches; None if the plan failed.
    """
    done: list[list[T] | None] = [[] for _ in plans]
    for batch in batches:
        tree = PrefixTree(session.loaded.model, plans)
        for index in tree.order:
            results = done[index]
            if results is None:
                continue
            try:
                with torch.inference_mode(), tree.under(index, session.pruning_inputs):
                    results.append(run(batch, index))
            except (NonFinite, PlanError) as error:
                log.debug("plan %s fails in a batch: %s", plans[index], error)
                done[index] = None
    return done
