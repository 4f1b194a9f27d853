"""Pairs the answers of a plan with those of the dense model, per question."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from search.storage.answers import StoredAnswers
from search.storage.database_url import StorageError
from search.storage.results import Results, TrialRecord
from search.storage.tables import RungResult

NONE_STORED = (
    "a trial must have finished a rung with a version that stores answers, got none for trial {}: choose another trial"
)
"""Message of the error for a trial without stored answers."""


@dataclass(frozen=True)
class AnsweredQuestion:
    """One question with the answers of a plan and of the dense model."""

    trial: int
    plan: str
    split: str
    seed: int
    """Seed of the tuning."""
    question_id: str
    image: str
    kind: str
    question: str
    accepted: tuple[str, ...]
    answer: str
    score: float
    dense_answer: str
    dense_score: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def answered_questions(results: Results, dense: TrialRecord, record: TrialRecord) -> Iterator[AnsweredQuestion]:
    """Yield the answered questions of a trial: of its last rung on the search split, then of the test split by seed.

    Args:
        results: results of the run.
        dense: trial of the dense model.
        record: the trial.

    Raises:
        StorageError: no answers of the trial or of the dense trial are stored.
    """
    answers, reference = results.answers(record.trial.number), results.answers(dense.trial.number)
    for stored, owner in ((answers, record), (reference, dense)):
        if not stored:
            raise StorageError(NONE_STORED.format(owner.trial.number))
    for split, seed in sorted(answers):
        # With further seeds the dense model is tested only if tuning changes it; else it has one result per split.
        places = ((split, seed), *sorted(reference))
        place = next((known for known in places if known in reference and known[0] == split), None)
        measured, beside = _measured(record, split, seed), _measured(dense, *place) if place else None
        if place is not None and measured is not None and beside is not None:
            yield from _paired(record, answers[split, seed], measured, reference[place], beside)


def most_informative(answered: Sequence[AnsweredQuestion], count: int) -> list[AnsweredQuestion]:
    """Return the `count` most informative questions.

    The order is: questions that only the dense model answers correctly; questions with equal scores, wrong answers
    first; questions that only the plan answers correctly. They are taken from the last split in `answered` (the test
    split if the trial was tested) and from its first seed (that of the search).

    Args:
        answered: the answered questions of one trial, as `answered_questions` yields them.
        count: maximum number of questions.
    """
    last = [each for each in answered if each.split == answered[-1].split]
    shown = [each for each in last if each.seed == last[0].seed]
    return sorted(shown, key=lambda each: (each.score - each.dense_score, each.score))[:count]


def _measured(record: TrialRecord, split: str, seed: int) -> RungResult | None:
    """Return the last rung of a trial on a split with a seed, whose answers are stored; None if there is none."""
    return next((each for each in reversed(record.on(split)) if each.seed == seed), None)


def _paired(
    record: TrialRecord, stored: StoredAnswers, measured: RungResult, reference: StoredAnswers, beside: RungResult
) -> Iterator[AnsweredQuestion]:
    columns = (stored.answers, measured.scores, reference.asked, reference.answers, beside.scores)
    for answer, score, question, dense_answer, dense_score in zip(*columns, strict=False):
        yield AnsweredQuestion(
            trial=record.trial.number,
            plan=record.trial.plan,
            split=measured.split,
            seed=measured.seed,
            question_id=question.id,
            image=question.image,
            kind=question.kind,
            question=question.question,
            accepted=question.accepted,
            answer=answer,
            score=score,
            dense_answer=dense_answer,
            dense_score=dense_score,
        )
