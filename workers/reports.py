"""Defines the report of a trial: the result of each rung, and how the trial ended. Imports no torch."""

from enum import StrEnum
from typing import Any

from spaces.names import shown
from workers.message import Message
from workers.sources import Split

Importance = tuple[tuple[float, float], ...]
"""Per block, the importance of its attention and of its FFN: nats of the answers' log-likelihood, see
`workers.evaluation.importance`."""


class QuestionRecord(Message):
    """A question of a split with its accepted answers."""

    id: str
    """Split and index in it, from 0: `search-17`."""
    image: str
    """Id of the image."""
    kind: str
    question: str
    accepted: tuple[str, ...]


class Floor(Message):
    """Accuracies reached without looking at the images; at least one of the two is known."""

    answer: str | None = None
    """The best constant answer, or the best constant index among the options ("option 2")."""
    constant: float | None = None
    """Accuracy of giving `answer` to all questions; None for metrics with partial scores."""
    other_images: float | None = None
    """Accuracy of the dense model if each question comes with the images of another question."""
    note: str | None = None
    """Reason why one of the accuracies is unknown; None if both are known."""

    @property
    def accuracy(self) -> float:
        """Return the larger of the known accuracies."""
        return max(value for value in (self.constant, self.other_images) if value is not None)

    def __str__(self) -> str:
        if self.constant is not None and self.constant == self.accuracy:
            return f"always answering {shown(self.answer)}"
        return "the dense model shown other images"


class RungReport(Message):
    """The result of one rung."""

    rung: int
    split: Split
    questions: int
    accuracy: float
    """Mean score of the metric over the questions, in [0, 1]."""
    accuracy_by_kind: dict[str, float]
    scores: tuple[float, ...]
    """Score of each question in [0, 1], in the order of the split; needed for paired comparisons."""
    answers: tuple[str, ...] = ()
    """Answer of the model to each question; for metrics on likelihoods, the answer that was scored."""
    asked: tuple[QuestionRecord, ...] | None = None
    """The questions, for the dense plan only, since all plans answer the same ones."""
    tuning_steps: int
    tuned: bool
    """True if the tuned mapping module was better than the dense one on the tune split and was kept."""
    tune_accuracy: tuple[float, float] | None
    """Accuracy on the tune split before and after tuning; None without tuning."""
    costs: dict[str, Any]
    """FLOPs and other costs of the plan (`objectives.flops.Costs.as_dict`)."""
    seconds: dict[str, float]
    """Wall-clock seconds per step: load, tune, evaluate, margins, importance, floor, latency."""
    margins: tuple[float, ...] | None = None
    """Per question, the log-probability of the right answer minus that of the best wrong one, in nats."""
    floor: Floor | None = None
    """Accuracy without looking at the images; None if not requested or not measurable."""
    importance: Importance | None = None
    """Importance of each sub-layer for the right answers under the plan; None if not requested."""
    latency: dict[str, float] | None = None
    """Median and interquartile range of prefill and of one decode step, in seconds; None if not requested."""
    artifact: str | None = None
    """Path of the stored mapping module, relative to the artifacts folder."""


class TrialState(StrEnum):
    """State in which a trial ended."""

    COMPLETE = "complete"
    """It finished the last rung."""
    STOPPED = "stopped"
    """It was not promoted to the next rung, or was a probe."""
    FAILED = "failed"
    """It ended with an error."""


class TrialReport(Message):
    """The result of a trial: its rungs and how it ended. Failures are results as well."""

    number: int | None
    plan: str
    digest: str
    state: TrialState
    reason: str | None
    put_back: bool = False
    """True if the machine failed, not the trial, which must be run again; `reason` names the failure."""
    rungs: tuple[RungReport, ...]
    origin: dict[str, Any]
    """Versions, device, threads, seed, fingerprints of model and data."""
