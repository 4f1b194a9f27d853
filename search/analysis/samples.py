"""Pairs the answers of a plan with those of the dense model, question by question."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from search.storage.answers import KeptAnswers
from search.storage.database_url import StorageError
from search.storage.results import Results, TrialRecord
from search.storage.tables import RungResult

NONE_KEPT = "a trial must have finished a rung with a version that keeps answers, got none of trial {}: take another"


@dataclass(frozen=True)
class AnsweredQuestion:
    """One question, what a plan answered, and what the dense model did."""

    trial: int
    plan: str
    split: str
    seed: int
    """Of the tuning."""
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
        """Return it ready for JSON."""
        return asdict(self)


def answered_questions(results: Results, dense: TrialRecord, record: TrialRecord) -> Iterator[AnsweredQuestion]:
    """Yield every question that a trial answered, on the search split at its last rung, then on the test split by seed.

    Raises StorageError where no answers of the trial, or of the dense one, were kept.
    """
    said, reference = results.answers(record.trial.number), results.answers(dense.trial.number)
    for kept, owner in ((said, record), (reference, dense)):
        if not kept:
            raise StorageError(NONE_KEPT.format(owner.trial.number))
    for split, seed in sorted(said):
        # With other seeds than the search's own the dense model is tested only where tuning changes it.
        places = ((split, seed), *sorted(reference))
        place = next((known for known in places if known in reference and known[0] == split), None)
        measured, beside = _measured(record, split, seed), _measured(dense, *place) if place else None
        if place is not None and measured is not None and beside is not None:
            yield from _paired(record, said[split, seed], measured, reference[place], beside)


def most_telling(answered: Sequence[AnsweredQuestion], count: int) -> list[AnsweredQuestion]:
    """Return `count` questions: what the dense model got right and the plan wrong first.

    Then what both got wrong, what both got right, and what only the plan got right. They are of the test split where
    the trial was tested, with the search's own seed.
    """
    last = [each for each in answered if each.split == answered[-1].split]
    shown = [each for each in last if each.seed == last[0].seed]
    return sorted(shown, key=lambda each: (each.score - each.dense_score, each.score))[:count]


def _measured(record: TrialRecord, split: str, seed: int) -> RungResult | None:
    """Return the last rung on a split with a seed, whose answers are kept."""
    return next((each for each in reversed(record.on(split)) if each.seed == seed), None)


def _paired(
    record: TrialRecord, said: KeptAnswers, measured: RungResult, reference: KeptAnswers, beside: RungResult
) -> Iterator[AnsweredQuestion]:
    columns = (said.answers, measured.scores, reference.asked, reference.answers, beside.scores)
    for answer, score, asked, dense_answer, dense_score in zip(*columns, strict=False):
        yield AnsweredQuestion(
            trial=record.trial.number,
            plan=record.trial.plan,
            split=measured.split,
            seed=measured.seed,
            question_id=asked.id,
            image=asked.image,
            kind=asked.kind,
            question=asked.question,
            accepted=asked.accepted,
            answer=answer,
            score=score,
            dense_answer=dense_answer,
            dense_score=dense_score,
        )
