"""What travels between the controller and a worker: a request in, one report per rung out.

Both are frozen values that round-trip through JSON, so that any trial can be printed, stored and run again by
hand (`python -m workers request.json`) with the numbers it had in the search.
"""

import json
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, model_validator

from objectives.metrics import METRICS
from objectives.workload import Workload, WorkloadError
from spaces.names import shown, unknown
from spaces.plan import Plan, PlanError
from workers.lora_options import parse_lora

Split = Literal["train", "tune", "search", "test"]


def known(kind: str, names: Collection[str]) -> AfterValidator:
    """Raise an error for a name that is not one of `names`, with the nearest one."""

    def check(name: str | None) -> str | None:
        if name is not None and name not in names:
            raise unknown(kind, name, names)
        return name

    return AfterValidator(check)


def _is_trainable(text: str) -> str:
    parse_lora(text)
    return text


def _is_name(name: str) -> str:
    if len(name) > 4096 or any(len(part) > 255 for part in name.split("/")) or not name.isprintable():
        raise ValueError(f"a name must be one of a file, a folder or the hub, got {shown(name)}")
    return name


Name = Annotated[str, AfterValidator(_is_name)]


def _read_plan(value: object) -> Plan:
    if isinstance(value, Plan):
        return value
    if not isinstance(value, Mapping):
        raise PlanError(f"the plan of a request must be a JSON object, got {type(value).__name__}: use Plan.to_json")
    return Plan.from_json(value)


def _write_plan(plan: Plan) -> Any:
    return json.loads(plan.to_json())


def _read_workload(value: object) -> Workload:
    if isinstance(value, Workload):
        return value
    if not isinstance(value, Mapping):
        raise WorkloadError(f"a workload must be a JSON object of token counts, got {type(value).__name__}")
    return Workload.from_dict(value)


def _write_workload(workload: Workload) -> dict[str, float]:
    """Return the fields as floats: stored requests have always held `16.0`, never `16`."""
    return {name: float(value) for name, value in workload.to_dict().items()}


PlanValue = Annotated[Plan, PlainValidator(_read_plan), PlainSerializer(_write_plan)]
"""A plan that is written as its JSON object (`Plan.to_json`)."""
WorkloadValue = Annotated[Workload, PlainValidator(_read_workload), PlainSerializer(_write_workload)]
"""A workload that is written as a JSON object of its token counts."""


class Value(BaseModel):
    """A frozen record that refuses unknown keys: a typing error in a request must not pass unseen."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants", use_attribute_docstrings=True)


class ModelSource(Value):
    """Where the model comes from and how it is loaded."""

    name: Name = "embedded"
    """`embedded`, a Hugging Face hub id, or a local folder."""
    revision: str | None = None
    """Revision of the model on the hub."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    """Type of the weights; auto is that of the checkpoint."""
    attn_implementation: str = "sdpa"
    """Attention implementation of transformers, sdpa or eager."""
    trust_remote_code: bool = False
    """Run code that comes with the model."""
    trainable: Annotated[str, AfterValidator(_is_trainable)] = "mapping"
    """What is tuned: `mapping`, the module between vision tower and decoder; `lora` or `lora:r=8,alpha=16`, low-rank
    adapters on its linear layers; or globs over the names of weights outside of the decoder, comma-separated."""
    device: str = "auto"
    """Device of the model: cpu, cuda, cuda:1, or auto for the first GPU where there is one."""
    masks: str | None = None
    """Mask file, made by `python -m workers.pruning`, for blocks that a plan prunes by {saved}."""


class DataSource(Value):
    """Where the questions come from, which columns and splits hold what, and how many of each split are used."""

    name: Name = "embedded"
    """`embedded`, a Hugging Face hub id, or a local file (parquet, JSON lines, JSON, CSV) or folder."""
    config: str | None = None
    """Configuration (subset) of a data set that has several."""
    revision: str | None = None
    """Revision of the data set on the hub."""
    image_column: str | None = None
    """Column of images, or of their paths. Columns that are not named are found by type and by usual names."""
    question_column: str | None = None
    """Column of questions; a data set without questions is captioned."""
    answer_column: str | None = None
    """Column of answers, captions, or the right one of the choices."""
    choices_column: str | None = None
    """Column of the options of a multiple choice, or columns of one option each with commas between them."""
    answer_as: Literal["index", "index1", "letter", "text"] | None = None
    """How the right one of the choices is given: index from 0, index from 1, letter or text; None is read from all
    answers of the column."""
    kind_column: str | None = None
    """Column of the kind of question, for accuracy per kind."""
    train_split: str | None = None
    """Split that tunes the mapping module. Splits that are not named are found by usual names, or taken from train."""
    tune_split: str | None = None
    """Split that decides whether tuning helped."""
    search_split: str | None = None
    """Split that scores trials."""
    test_split: str | None = None
    """Split that scores the final front."""
    prompt: str | None = None
    """What the model is asked, {question} and {choices} standing for a row's own; None is as usual for the task."""
    choices_as: Literal["letter", "text"] = "letter"
    """What the model answers a multiple choice with: the letter of a listed option, or the option's text."""
    turns: Literal["one", "each"] = "one"
    """Conversations of several questions: refused, or each question put without what was said before it."""
    allow_outside: bool = False
    """Open image paths that lead out of the data set's folder, and addresses of other machines."""
    limit: int | None = Field(None, ge=1)
    """Rows of every split that are used at most: for a first short run."""
    max_train: int = Field(2048, ge=1)
    """Largest number of rows to tune on."""
    max_tune: int = Field(256, ge=1)
    """Largest number of rows that decide whether tuning helped."""
    max_eval: int | None = Field(None, ge=1)
    """Largest number of rows to search on, and to test on."""
    max_calibration: int = Field(128, ge=1)
    """Samples of `train`, drawn at random, that pruning is calibrated on; 128 as in Wanda (arXiv 2306.11695)."""
    streaming: bool = False
    """Read no more of the data set than the limits ask for."""
    max_unreadable: float = Field(0.01, ge=0, le=1)
    """Share of a split's rows that may be left out: without a readable image, or refused by the model."""

    @model_validator(mode="after")
    def _streams_end(self) -> "DataSource":
        if self.streaming and self.max_eval is None and self.limit is None:
            raise ValueError(
                "streaming must have an end, got no max_eval: say with --max-eval how many rows to search and test on"
            )
        return self

    def most_rows(self, split: Split) -> int | None:
        """Return the number of rows of a split that are used at most; None is all."""
        own = {"train": self.max_train, "tune": self.max_tune}.get(split, self.max_eval)
        return min((most for most in (own, self.limit) if most is not None), default=None)


Importance = tuple[tuple[float, float], ...]
"""Of attention and FFN, per block."""


class TuningRecipe(Value):
    """Brief training of the mapping module under a plan; everything else is frozen."""

    learning_rate: float = Field(2e-3, gt=0)
    """Peak learning rate of AdamW."""
    weight_decay: float = Field(0.0, ge=0)
    """Weight decay of AdamW."""
    images_per_step: int = Field(8, ge=1)
    """Images per tuning step."""
    questions_per_image: int = Field(8, ge=1)
    """Questions per image and step."""
    kl_weight: float = Field(0.0, ge=0)
    """Weight of KL(dense || plan) on the answer tokens, added to the cross-entropy."""


class Rung(Value):
    """One fidelity: tune up to `tuning_steps` in all, then evaluate `questions` questions of `split`."""

    tuning_steps: int = Field(0, ge=0)
    questions: int | None = Field(None, ge=1)
    """None evaluates the whole split."""
    split: Split = "search"
    margins: bool = False
    """Also measure by how much the right answers are ahead of wrong ones."""
    importance: bool = False
    """Also measure how much every attention and FFN matters for the right answers."""
    floor: bool = False
    """Also measure the accuracy that is reached without the pictures, over the whole split."""
    latency: bool = False
    """Also time prefill and decode (after warm-up, device synchronized)."""


class TrialRequest(Value):
    """Everything a worker needs to run one trial, and nothing that depends on who asked."""

    run: str | None = None
    """Id of the run that the trial belongs to; stored mapping modules carry it."""
    number: int | None = None
    plan: PlanValue
    model: ModelSource = ModelSource()
    data: DataSource = DataSource()
    metric: Annotated[str | None, known("metric", METRICS)] = None
    """None is the one usual for the data (`workers.data.pick_metric`)."""
    workload: WorkloadValue | None = None
    """Token counts the FLOPs are stated for; None takes the means of the search split."""
    tuning: TuningRecipe = TuningRecipe()
    rungs: tuple[Rung, ...] = Field((Rung(),), min_length=1)
    first_rung: int = Field(0, ge=0)
    """Rungs before this one were measured by an earlier trial of the plan: they are tuned through, not evaluated, so
    that the rungs that follow score what they would have without the interruption."""
    seed: int = 0
    threads: int | None = Field(None, ge=1)
    """CPU threads of the worker; part of the request because sums in floating point depend on it."""
    time_limit: float | None = Field(None, gt=0)
    """Seconds the whole trial may take."""
    mapping_module: str | None = None
    """Absolute path of a stored mapping module to evaluate in place of the dense one; goes with rungs that don't
    tune: the final test reads what the search tuned."""
    artifacts: str | None = None
    """Absolute folder where the tuned mapping module is stored; None stores nothing."""

    @model_validator(mode="after")
    def _stored_or_tuned(self) -> "TrialRequest":
        if self.mapping_module and any(rung.tuning_steps for rung in self.rungs):
            raise ValueError("mapping_module is evaluated as it was stored: leave it out, or ask for 0 tuning steps")
        return self

    @model_validator(mode="after")
    def _has_a_first_rung(self) -> "TrialRequest":
        if self.first_rung >= len(self.rungs):
            raise ValueError(f"first_rung must be one of the {len(self.rungs)} rungs, got {self.first_rung}")
        return self

    @property
    def num_reports(self) -> int:
        """Return the rungs that are evaluated."""
        return len(self.rungs) - self.first_rung


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
