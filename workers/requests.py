"""The request of a trial, which a controller sends to a worker: a value that can be printed, stored and run by hand.

`python -m workers request.json` gives the numbers that the trial had in the search. Reports: `workers.reports`.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, PlainValidator, model_validator

from objectives.metrics import METRICS
from objectives.workload import Workload, WorkloadError
from spaces.plan import Plan, PlanError
from workers.sources import DataSource, ModelSource, Split
from workers.value import Value, known


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


class TuningRecipe(Value):
    """Brief training of the mapping module under a plan; everything else is frozen."""

    learning_rate: float | None = Field(None, gt=0)
    """Peak learning rate of AdamW. By default 0.192 / width of the language model: 2e-3 for the embedded model."""
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
    mapping_plan: PlanValue | None = None
    """The plan that `mapping_module` was tuned for; None is the trial's own."""
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
