"""Explains one trial: what it skips, the FLOPs saved per part of the model, the accuracy lost per kind of question."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.intervals import bootstrap_interval
from search.analysis.samples import AnsweredQuestion, answered_questions, most_informative
from search.analysis.select_trials import SelectionError
from search.analysis.summary import dense_of
from search.storage.results import Results, TrialRecord
from spaces.plan_words import plan_words

PARTS = {
    "flops_vision": "vision tower",
    "flops_projector": "mapping module",
    "flops_prefill": "prefill",
    "flops_decode": "decode",
    "flops_head": "LM head",
}
"""Field of the costs -> part of the model, in the order in which they run."""


@dataclass(frozen=True)
class PartCost:
    """FLOPs per question of one part of the model."""

    part: str
    dense: float
    plan: float


@dataclass(frozen=True)
class KindLoss:
    """Accuracy of a plan and of the dense model on one kind of question."""

    kind: str
    """Kind of question; empty for all questions."""
    questions: int
    dense: float
    plan: float
    difference: float
    interval: tuple[float, float]
    """95 % bootstrap interval of the difference, paired by question."""


@dataclass(frozen=True)
class Explanation:
    """Comparison of one trial with the dense model, from the stored results."""

    trial: int
    plan: str
    words: list[str]
    """The plan in words, as clauses without their subject, such as `skips the FFN of block 3`."""
    costs: list[PartCost]
    split: str
    """Split of `kinds` and `lost`: the test split if the trial was tested, else the search split."""
    kinds: list[KindLoss]
    """All questions together, then one entry per kind, largest loss first."""
    lost: list[AnsweredQuestion]
    """Questions that the dense model answers right and the plan does not."""


@dataclass(frozen=True)
class Contribution:
    """Effect of one change of a plan: the plan compared with the same plan without this change."""

    blocks: tuple[int, ...]
    text: str
    """The changed block or pair, as in the text form of a plan."""
    saved: float
    """FLOPs that the change saves, as a ratio to the dense FLOPs."""
    lost: float
    """Accuracy gained if only this change is undone, without tuning again."""
    interval: tuple[float, float]
    """95 % bootstrap interval of `lost`, paired by question."""


def trial_of(records: Sequence[TrialRecord], number: int) -> TrialRecord:
    """Return a trial of a run by its number.

    Raises:
        SelectionError: there is no such trial.
    """
    found = next((record for record in records if record.trial.number == number), None)
    if found is None:
        raise SelectionError(f"--trial must be the number of a trial, got {number}: there are {len(records)}")
    return found


def finished_trial(records: Sequence[TrialRecord], number: int) -> TrialRecord:
    """Return a complete trial of a run by its number.

    Raises:
        SelectionError: there is no such trial, or it did not finish.
    """
    found = trial_of(records, number)
    if not found.is_complete:
        raise SelectionError(
            f"--trial must be a complete trial, got {number}, which is {found.trial.state}: take another"
        )
    return found


def dense_trial(records: Sequence[TrialRecord]) -> TrialRecord:
    """Return the complete trial of the dense model.

    Raises:
        SelectionError: the run has none.
    """
    found = dense_of(records)
    if found is None:
        raise SelectionError(
            "answers are compared with those of the dense model, which this run has not finished: continue the search"
        )
    return found


def explain(results: Results, number: int, num_samples: int) -> Explanation:
    """Return the explanation of a complete trial.

    Args:
        results: results of the run.
        number: number of the trial.
        num_samples: maximum number of lost questions.

    Raises:
        SelectionError: the run has no such complete trial, or no complete trial of the dense model.
        StorageError: no answers of these trials are stored.
    """
    records = results.records()
    record, dense = finished_trial(records, number), dense_trial(records)
    answered = list(answered_questions(results, dense, record))
    last = [each for each in answered if each.split == answered[-1].split]
    own = [each for each in last if each.seed == last[0].seed]
    lost = [each for each in most_informative(own, len(own)) if each.score < each.dense_score]
    return Explanation(
        trial=number,
        plan=record.trial.plan,
        words=plan_words(record.plan),
        costs=part_costs(record, dense),
        split=own[0].split,
        kinds=kind_losses(own),
        lost=lost[:num_samples],
    )


def part_costs(record: TrialRecord, dense: TrialRecord) -> list[PartCost]:
    """Return the FLOPs per question of each part of the model that has any, for the dense model and the plan."""
    mine, others = record.on("search")[-1].costs, dense.on("search")[-1].costs
    return [PartCost(part, others[key], mine[key]) for key, part in PARTS.items() if others.get(key)]


def kind_losses(answered: Sequence[AnsweredQuestion]) -> list[KindLoss]:
    """Return the losses of accuracy on all questions, then per kind of question, largest loss first.

    Args:
        answered: questions of one split, answered with one seed of tuning.
    """
    kinds: dict[str, list[AnsweredQuestion]] = {}
    for each in answered:
        kinds.setdefault(each.kind, []).append(each)
    by_kind = [_loss(kind, questions) for kind, questions in kinds.items()]
    return [_loss("", answered), *(sorted(by_kind, key=lambda loss: loss.difference) if len(kinds) > 1 else [])]


def _loss(kind: str, answered: Sequence[AnsweredQuestion]) -> KindLoss:
    plan, dense = np.array([[each.score, each.dense_score] for each in answered]).T
    return KindLoss(
        kind=kind,
        questions=len(answered),
        dense=float(dense.mean()),
        plan=float(plan.mean()),
        difference=float((plan - dense).mean()),
        interval=bootstrap_interval((plan - dense).tolist()),
    )
