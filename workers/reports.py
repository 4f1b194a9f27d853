"""What a worker reports of a trial: one report per rung, and how the trial ended. Imports no torch."""

from enum import StrEnum
from typing import Any

from spaces.names import shown
from workers.sources import Split
from workers.value import Value

Importance = tuple[tuple[float, float], ...]
"""Of attention and FFN, per block."""


class AskedQuestion(Value):
    """A question of a split and the answers that are accepted."""

    id: str
    """Split and place in it, counted from 0: `search-17`."""
    image: str
    """Id of the image."""
    kind: str
    question: str
    accepted: tuple[str, ...]


class Floor(Value):
    """Accuracies that are reached without looking at the picture; at least one is known."""

    answer: str | None = None
    """The best constant answer, or the best constant place among the options ("option 2")."""
    constant: float | None = None
    """Accuracy of giving `answer` to every question; None for metrics that score answers right in part."""
    other_images: float | None = None
    """Accuracy of the dense model when every question comes with the pictures of another."""
    note: str | None = None
    """Why one of the two is not known."""

    @property
    def accuracy(self) -> float:
        """Return the larger of the two."""
        return max(value for value in (self.constant, self.other_images) if value is not None)

    def __str__(self) -> str:
        if self.constant is not None and self.constant == self.accuracy:
            return f"always answering {shown(self.answer)}"
        return "the dense model shown other pictures"


class RungReport(Value):
    """What one rung measured."""

    rung: int
    split: Split
    questions: int
    accuracy: float
    """Mean score of the metric over the questions, in [0, 1]."""
    accuracy_by_kind: dict[str, float]
    scores: tuple[float, ...]
    """Score of every question in the order of the split: paired comparisons need them."""
    answers: tuple[str, ...] = ()
    """What the model answered to every question; of a metric that reads likelihoods, the answer that was judged."""
    asked: tuple[AskedQuestion, ...] | None = None
    """The questions, where the plan is the dense one: all others answer the same."""
    tuning_steps: int
    tuned: bool
    """Whether the tuned mapping module was kept (it was better than the dense one on the tune split)."""
    tune_accuracy: tuple[float, float] | None
    """Accuracy on the tune split before and after tuning; None where nothing was tuned."""
    costs: dict[str, Any]
    """FLOPs ledger and the columns beside it (`objectives.flops.Costs.as_dict`)."""
    seconds: dict[str, float]
    """Wall-clock per step: load, tune, evaluate, margins, importance, floor, latency."""
    margins: tuple[float, ...] | None = None
    """By how much the right answer to every question is ahead of the next best, in nats."""
    floor: Floor | None = None
    """What is reached without the pictures; None where it was not requested or can't be measured."""
    importance: Importance | None = None
    """How much attention and FFN of every block matter for the right answers under the plan."""
    latency: dict[str, float] | None = None
    """Seconds: median and interquartile range of prefill and of one decode step."""
    artifact: str | None = None
    """Path of the stored mapping module, relative to the artifacts folder."""


class TrialState(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    """It did not earn its next rung, or was a probe."""
    FAILED = "failed"


class TrialReport(Value):
    """A whole trial: the rungs it reached and how it ended. Failures are data."""

    number: int | None
    plan: str
    digest: str
    state: TrialState
    reason: str | None
    put_back: bool = False
    """The machine failed and not the trial, which is to be run again; `reason` says what of the machine."""
    rungs: tuple[RungReport, ...]
    origin: dict[str, Any]
    """Versions, device, threads, seed, model and data fingerprints."""
