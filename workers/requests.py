"""Defines the request of a trial, which the controller sends to a worker.

A request can be printed, stored as JSON, and run outside a search: `python -m workers request.json` gives the same
results as the trial in the search. `workers.reports` defines the report that answers it.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, PlainValidator, model_validator

from objectives.metrics import METRICS
from objectives.workload import Workload, WorkloadError
from spaces.plan import Plan, PlanError
from workers.message import Message, known
from workers.sources import DataSource, ModelSource, Split

Deploy = Literal["any", "transformers", "remote-code", "nemotron-nas"]
"""Route by which a plan will be deployed; `any` is an export that saves all that the plan skips."""


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
    """Return the fields as floats, as in the requests of existing databases (`16.0`, not `16`)."""
    return {name: float(value) for name, value in workload.to_dict().items()}


PlanValue = Annotated[Plan, PlainValidator(_read_plan), PlainSerializer(_write_plan)]
"""A plan, serialized as its JSON object (`Plan.to_json`)."""
WorkloadValue = Annotated[Workload, PlainValidator(_read_workload), PlainSerializer(_write_workload)]
"""A workload, serialized as a JSON object of its token counts."""


class TuningRecipe(Message):
    """Hyperparameters of tuning; all weights but the trainable ones are frozen."""

    learning_rate: float | None = Field(None, gt=0)
    """Peak learning rate of AdamW. By default 0.192 / width of the language model: 2e-3 for the embedded model."""
    weight_decay: float = Field(0.0, ge=0)
    """Weight decay of AdamW."""
    images_per_step: int = Field(8, ge=1)
    """Images per tuning step."""
    questions_per_image: int = Field(8, ge=1)
    """Maximum number of questions per image and tuning step."""
    kl_weight: float = Field(0.0, ge=0)
    """Weight of KL(dense || plan) on the answer tokens, added to the cross-entropy."""


class Rung(Message):
    """One rung of a trial: tune up to `tuning_steps`, then evaluate `questions` questions of `split`."""

    tuning_steps: int = Field(0, ge=0)
    """Total number of tuning steps since the start of the trial."""
    questions: int | None = Field(None, ge=1)
    """Number of questions, from the start of the split; None for all."""
    split: Split = "search"
    margins: bool = False
    """If True, also measure the margins of the right answers (`workers.evaluation.margins`)."""
    importance: bool = False
    """If True, also measure the importance of each sub-layer (`workers.evaluation.importance`)."""
    floor: bool = False
    """If True, also measure the accuracy without looking at the images, over the whole split."""
    latency: bool = False
    """If True, also measure the latency of prefill and decode (`workers.evaluation.latency`)."""


class TrialRequest(Message):
    """Everything a worker needs to run one trial; the result depends on nothing else."""

    run: str | None = None
    """Id of the run that the trial belongs to; stored in the file of the tuned mapping module."""
    number: int | None = None
    """Number of the trial in its run; None outside of a run."""
    plan: PlanValue
    model: ModelSource = ModelSource()
    data: DataSource = DataSource()
    metric: Annotated[str | None, known("metric", METRICS)] = None
    """Name of the metric; None for the usual one for the data (`workers.data.pick_metric`)."""
    workload: WorkloadValue | None = None
    """Token counts that the FLOPs are computed for; None for the means of the search split."""
    tuning: TuningRecipe = TuningRecipe()
    rungs: tuple[Rung, ...] = Field((Rung(),), min_length=1)
    first_rung: int = Field(0, ge=0)
    """Index of the first rung to evaluate. Earlier rungs were measured by another trial of the plan; their tuning steps
    are repeated, so that the result is the same as without the interruption."""
    deploy: Deploy = "any"
    """Route by which the plan will be deployed; its costs are reported."""
    seed: int = 0
    """Seed of tuning and of all other random choices."""
    threads: int | None = Field(None, ge=1)
    """CPU threads of the worker; part of the request since floating-point sums depend on it."""
    time_limit: float | None = Field(None, gt=0)
    """Maximum seconds of the whole trial, without loading the model."""
    mapping_module: str | None = None
    """Absolute path of a stored mapping module that replaces the dense one; only for rungs without tuning, as in the
    final test."""
    mapping_plan: PlanValue | None = None
    """Plan that `mapping_module` was tuned for; None for the plan of the trial."""
    artifacts: str | None = None
    """Absolute path of the folder where the tuned mapping module is stored; None to store nothing."""

    @model_validator(mode="after")
    def _stored_or_tuned(self) -> "TrialRequest":
        if self.mapping_module and any(rung.tuning_steps for rung in self.rungs):
            raise ValueError("a mapping_module can't be tuned further: leave it out, or set tuning_steps to 0")
        return self

    @model_validator(mode="after")
    def _has_a_first_rung(self) -> "TrialRequest":
        if self.first_rung >= len(self.rungs):
            raise ValueError(f"first_rung must be one of the {len(self.rungs)} rungs, got {self.first_rung}")
        return self

    @property
    def num_reports(self) -> int:
        """Return the number of rungs that are evaluated."""
        return len(self.rungs) - self.first_rung
