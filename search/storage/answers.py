"""Stores and reads the answers of trials: compressed, one row per trial, and on the test split one per seed."""

import json
import zlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.orm import Session

from search.storage.tables import Answers
from workers.reports import AskedQuestion, RungReport


@dataclass(frozen=True)
class KeptAnswers:
    """The answers of one rung, in the order of the split."""

    answers: tuple[str, ...]
    asked: tuple[AskedQuestion, ...]
    """The questions, where the plan was the dense one; else empty."""


def keep_answers(connection: Connection, trial_id: int, report: RungReport, seed: int) -> None:
    """Store the answers of a rung. On the search split they replace those of the trial's earlier rungs."""
    if not report.answers:
        return
    key = {"trial_id": trial_id, "split": report.split, "seed": seed}
    connection.execute(delete(Answers).filter_by(**key))
    asked = None if report.asked is None else _packed([question.model_dump(mode="json") for question in report.asked])
    row = {**key, "rung": report.rung, "answers": _packed(report.answers), "asked": asked}
    connection.execute(insert(Answers), row)


def read_answers(engine: Engine, trial_id: int) -> dict[tuple[str, int], KeptAnswers]:
    """Return the answers of a trial by split and seed of the tuning."""
    with Session(engine) as session:
        rows = session.scalars(select(Answers).where(Answers.trial_id == trial_id)).all()
    return {(row.split, row.seed): _kept(row) for row in rows}


def _kept(row: Answers) -> KeptAnswers:
    asked = json.loads(zlib.decompress(row.asked)) if row.asked else []
    return KeptAnswers(
        answers=tuple(json.loads(zlib.decompress(row.answers))),
        asked=tuple(AskedQuestion.model_validate(question) for question in asked),
    )


def _packed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value, ensure_ascii=False).encode())
