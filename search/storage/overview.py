"""Reads the few columns of a run that its status shows; thousands of trials take a fraction of a second."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Executable, Row, Select, select

from search.storage.results import MAPPING_MODULE, Results
from search.storage.tables import Artifact, RungResult, Trial

TRIAL_COLUMNS = (Trial.number, Trial.plan, Trial.origin, Trial.state, Trial.reason, Trial.attempt, Trial.started,
                  Trial.finished)  # fmt: skip
RUNG_COLUMNS = (Trial.number, RungResult.split, RungResult.rung, RungResult.seed, RungResult.accuracy,
                RungResult.flops_ratio, RungResult.questions, RungResult.tuning_steps)  # fmt: skip


def trial_rows(results: Results) -> Sequence[Row[Any]]:
    """Return number, plan, origin, state, reason, attempt, start and end of all trials, by number."""
    return _all(results, select(*TRIAL_COLUMNS).where(Trial.run_id == results.run.id).order_by(Trial.number))


def rung_rows(results: Results) -> Sequence[Row[Any]]:
    """Return trial, split, rung, seed, accuracy, FLOPs ratio, questions and steps of all rungs, by trial and rung."""
    query = _rungs(*RUNG_COLUMNS).where(Trial.run_id == results.run.id)
    return _all(results, query.order_by(Trial.number, RungResult.rung))


def measured_rows(results: Results, numbers: Sequence[int]) -> Sequence[Row[Any]]:
    """Return the rows of `rung_rows` of some trials together with their metrics."""
    query = _rungs(*RUNG_COLUMNS, RungResult.metrics).where(Trial.run_id == results.run.id)
    return _all(results, query.where(Trial.number.in_(numbers)).order_by(Trial.number, RungResult.rung))


def scores_of(results: Results, numbers: Sequence[int]) -> dict[int, list[float]]:
    """Return trial -> scores of its last rung on the search split, of some trials."""
    query = _rungs(Trial.number, RungResult.scores).where(Trial.run_id == results.run.id)
    query = query.where(Trial.number.in_(numbers), RungResult.split == "search").order_by(RungResult.rung)
    return {row.number: row.scores for row in _all(results, query)}


def worker_rows(results: Results, numbers: Sequence[int]) -> Sequence[Row[Any]]:
    """Return number and worker (host, device, versions) of some trials."""
    query = select(Trial.number, Trial.worker).where(Trial.run_id == results.run.id, Trial.number.in_(numbers))
    return _all(results, query)


def has_mapping_module(results: Results, number: int) -> bool:
    """Return True if a trial has stored a tuned mapping module."""
    query = select(Artifact.id).join(Trial, Trial.id == Artifact.trial_id)
    found = query.where(Trial.run_id == results.run.id, Trial.number == number, Artifact.kind == MAPPING_MODULE)
    return bool(_all(results, found))


def _rungs(*columns: Any) -> Select[Any]:
    return select(*columns).join(Trial, Trial.id == RungResult.trial_id)


def _all(results: Results, query: Executable) -> Sequence[Row[Any]]:
    with results.engine.connect() as connection:
        return connection.execute(query).all()
