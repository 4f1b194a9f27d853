"""A search problem whose answers are known in closed form, for tests of everything around the model.

Blocks have weights; the accuracy of a plan is the sum of those that remain. No model is loaded, but settings, study,
database, controller and dispatch are the real ones.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from objectives.flops import costs
from objectives.workload import Workload
from search.loop.problem import Problem
from search.settings import Settings
from spaces.constraints import Limit
from spaces.plan import Op, Plan
from spaces.shape import ModelShape, VisionShape
from spaces.spaces import load_space
from workers.reports import Floor, RungReport
from workers.requests import Rung, TrialRequest

NUM_BLOCKS = 8
SHAPE = ModelShape(
    num_blocks=NUM_BLOCKS,
    hidden_size=32,
    num_heads=4,
    num_kv_heads=4,
    head_size=8,
    ffn_size=64,
    gated_ffn=True,
    vocab_size=60,
    vision=VisionShape(
        num_layers=2, hidden_size=16, num_heads=2, ffn_size=32, num_channels=3, image_size=16, patch_size=8
    ),
    projector=((16, 32), (32, 32)),
    visual_tokens_per_image=4,
    bytes_per_parameter=4,
)
WORKLOAD = Workload(visual_tokens=4, text_tokens=8, generated_tokens=2)
WEIGHTS = np.random.default_rng(7).dirichlet(np.ones(NUM_BLOCKS))
IMPORTANCE = tuple((float(0.4 * weight) ** 2, float(0.5 * weight) ** 2) for weight in WEIGHTS)
"""Of attention and FFN of every block: the square of what is lost without it."""
_LOSS = {Op.KEEP: 0.0, Op.SKIP_ATTN: 0.4, Op.SKIP_FFN: 0.5, Op.SKIP_BLOCK: 1.0, Op.PARALLEL: 0.1}


def settings_in(folder: Path, **changes: Any) -> Settings:
    """Settings of a small search in a folder."""
    rungs = (Rung(questions=16), Rung(tuning_steps=5, questions=32), Rung(tuning_steps=10))
    return Settings.model_validate(
        {"budget": 30, "out": folder, "rungs": rungs, "threads": 1, "workers": 1, "final_plans": "all", **changes}
    )


def problem_of(settings: Settings) -> Problem:
    """The problem, without any model or data behind it."""
    space = load_space(settings.space, NUM_BLOCKS)
    problem = Problem(settings, SHAPE, WORKLOAD, space, {"model": "m", "data set": "d"})
    if settings.max_flops is None:
        return problem
    return replace(problem, limits=(Limit("--max-flops", settings.max_flops, problem.ratio, of_cost=True),))


def true_accuracy(plan: Plan) -> float:
    """Accuracy of a plan after full tuning."""
    return float(1.0 - sum(weight * _LOSS[op] for weight, op in zip(WEIGHTS, plan.ops, strict=True)))


def margins_of(plan: Plan) -> tuple[float, ...]:
    """Return the margins of sixteen questions; the share above 0 is the accuracy."""
    return tuple(round(8 * (true_accuracy(plan) - (number + 0.5) / 16), 2) for number in range(16))


class PretendWorker:
    """Reports immediately what a real worker reports after tuning and evaluating."""

    def __init__(self, seconds: float = 0.0, floor: float | None = None) -> None:
        """`floor` is the accuracy without the images; None: not measured."""
        self.seconds = seconds
        self.floor = None if floor is None else Floor(answer="yes", constant=floor)
        self.session = None
        self.requests: list[TrialRequest] = []

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        self.requests.append(request)
        plan = request.plan
        for index, rung in list(enumerate(request.rungs))[request.first_rung :]:
            if self.seconds:
                time.sleep(self.seconds)
            report = report_of(plan, index, rung)
            margins = margins_of(plan) if rung.margins else None
            importance = IMPORTANCE if rung.importance else None
            floor = self.floor if rung.floor else None
            yield report.model_copy(update={"margins": margins, "importance": importance, "floor": floor})


def report_of(plan: Plan, index: int, rung: Rung, accuracy: float | None = None) -> RungReport:
    """Return the report of a rung; cheap rungs measure a slightly lower accuracy."""
    seen = true_accuracy(plan) - 0.02 * (2 - index) if accuracy is None else accuracy
    count = rung.questions or 64
    right = round(seen * count) if np.isfinite(seen) else 0
    return RungReport(
        rung=index,
        split=rung.split,
        questions=count,
        accuracy=seen,
        accuracy_by_kind={"all": seen},
        scores=(1.0,) * right + (0.0,) * (count - right),
        tuning_steps=rung.tuning_steps,
        tuned=rung.tuning_steps > 0,
        tune_accuracy=None,
        costs=costs(SHAPE, plan, WORKLOAD).as_dict(),
        seconds={"evaluate": 0.0},
    )
