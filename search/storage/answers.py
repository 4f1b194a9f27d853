"""Stores and reads the answers of trials: compressed, one row per trial on the search split, one per seed on test."""

import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.orm import Session

from search.storage.tables import Answers

if TYPE_CHECKING:  # slow to import
    from workers.reports import QuestionRecord, RungReport


@dataclass(frozen=True)
class StoredAnswers:
    """The stored answers of one rung, in the order of the split."""

    answers: tuple[str, ...]
    asked: "tuple[QuestionRecord, ...]"
    """The questions; stored for the dense plan only, empty for all others."""


def keep_answers(connection: Connection, trial_id: int, report: "RungReport", seed: int) -> None:
    """Store the answers of a rung; on the search split they replace those of earlier rungs of the trial.

    Args:
        connection: a connection with an open transaction.
        trial_id: primary key of the trial's row.
        report: report of the rung; nothing is stored if it has no answers.
        seed: seed of the tuning.
    """
    if not report.answers:
        return
    key = {"trial_id": trial_id, "split": report.split, "seed": seed}
    connection.execute(delete(Answers).filter_by(**key))
    asked = None if report.asked is None else _packed([question.model_dump(mode="json") for question in report.asked])
    row = {**key, "rung": report.rung, "answers": _packed(report.answers), "asked": asked}
    connection.execute(insert(Answers), row)


def read_answers(engine: Engine, trial_id: int) -> dict[tuple[str, int], StoredAnswers]:
    """Return the answers of a trial by (split, seed of tuning); `trial_id` is the primary key of its row."""
    with Session(engine) as session:
        rows = session.scalars(select(Answers).where(Answers.trial_id == trial_id)).all()
    return {(row.split, row.seed): _kept(row) for row in rows}


def _kept(row: Answers) -> StoredAnswers:
    from workers.reports import QuestionRecord

    asked = json.loads(zlib.decompress(row.asked)) if row.asked else []
    return StoredAnswers(
        answers=tuple(json.loads(zlib.decompress(row.answers))),
        asked=tuple(QuestionRecord.model_validate(question) for question in asked),
    )


def _packed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value, ensure_ascii=False).encode())
