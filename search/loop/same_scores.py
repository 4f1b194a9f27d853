"""Shows that a run of an older version was scored by today's rule of its metric, from the answers that it stored."""

from __future__ import annotations

from collections.abc import Sequence

from objectives.metrics import METRICS, Reads, scores
from search.storage.results import Results, TrialRecord


def is_scored_alike(results: Results, metric: str) -> bool:
    """Return True if every score of the run is the one that today's rule gives to the stored answers.

    The answers of each trial's last rung on the search split are scored again, with the questions that the dense trial
    stored. False if a trial with a result has no stored answers, as in versions that kept none, or if there is none.

    Args:
        results: the stored run.
        metric: name of its metric.
    """
    measured = [record for record in results.records() if record.on("search")]
    dense = [record for record in measured if record.plan.is_dense]
    if METRICS[metric].reads is not Reads.ANSWERS or METRICS[metric].by_task or not dense:
        return False
    asked = max((_stored(results, record)[1] for record in dense), key=len)
    return bool(asked) and all(_is_alike(results, record, metric, asked) for record in measured)


def _is_alike(results: Results, record: TrialRecord, metric: str, asked: Sequence[Sequence[str]]) -> bool:
    answers, _ = _stored(results, record)
    last = record.on("search")[-1].scores
    if not answers or len(answers) != len(last) or len(answers) > len(asked):
        return False
    return scores(metric, answers, asked[: len(answers)]) == list(last)


def _stored(results: Results, record: TrialRecord) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return the stored answers of a trial on the search split, and what is accepted for its questions."""
    kept = results.answers(record.trial.number).get(("search", record.seed))
    return ((), ()) if kept is None else (kept.answers, [question.accepted for question in kept.asked])
