"""What is searched, known before torch is imported: model shape, workload, space, limits, costs of any plan."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, get_args

from objectives.flops import Costs, costs, dense_flops, flops
from objectives.front import FrontLimits
from objectives.metrics import METRICS
from objectives.sparsity import kept_weights, zero_flops
from objectives.workload import Workload
from search.loop.warm_start import warm_start
from search.settings import Settings
from search.strategies.strategy import Focus, Task
from spaces.constraints import Limit, check_reachable, is_feasible
from spaces.plan import Plan
from spaces.shape import ModelShape
from spaces.spaces import Space, load_space
from workers.askable import askable_split
from workers.data.load_split import load_split
from workers.data.pick_metric import pick_metric
from workers.data.sample import SplitData
from workers.describe import describe_model, describe_workload
from workers.fingerprints import fingerprint_model, fingerprint_samples
from workers.models.device import check_device
from workers.requests import TrialRequest
from workers.sources import Split


@dataclass(frozen=True)
class Problem:
    """One search problem. Everything here is closed form."""

    settings: Settings
    shape: ModelShape
    workload: Workload
    space: Space
    fingerprints: dict[str, str]
    limits: tuple[Limit, ...] = field(default=())
    data: Mapping[str, Any] = field(default_factory=dict)
    """What was read of the data set: task, metric, columns, and rows and skipped rows by split."""
    first: tuple[tuple[str, Plan], ...] = ()
    """Origin and plan of every warm start."""
    run: str | None = None
    """Id of the run that the problem is searched in; stored files carry it."""

    @classmethod
    def resolve(cls, settings: Settings) -> "Problem":
        """Read the model's configuration and the data, and checks that metric and limits can be kept at all.

        The settings of the problem have the metric that was found to be usual for the data.

        Raises:
            ValueError: one clear line, before anything is created.
        """
        if not settings.on_ray:
            check_device(settings.model.device)
        shape = describe_model(settings.model)
        # All of them: a test split that can't be read must not end a search of hours.
        splits = {split: askable_split(settings.model, settings.dataset, split) for split in get_args(Split)}
        settings = settings.model_copy(update={"metric": pick_metric(splits["search"], settings.metric)})
        samples = splits["search"].samples
        workload = describe_workload(settings.model, samples)
        space = load_space(settings.space, shape.num_blocks, shape.kinds, **_options(settings))
        for level in space.choices(0):
            kept_weights(shape, level, 0)  # a saved mask without its file is told now
        marks = {
            "model": fingerprint_model(settings.model),
            "data set": fingerprint_samples(load_split(settings.dataset, "search").samples),
        }
        marks |= {
            f"{split} split": fingerprint_samples(load_split(settings.dataset, split).samples)
            for split in get_args(Split)
            if split != "search"
        }
        if settings.dataset.name != "embedded":  # its answers have the same scores by every rule
            marks |= {f"rule of {settings.metric}": METRICS[str(settings.metric)].rule}
        data = _describe_data(splits, settings.metric)
        problem = cls(settings, shape, workload, space, marks, data=data)
        if settings.max_flops is not None:
            limit = Limit("--max-flops", settings.max_flops, problem.ratio)
            check_reachable(space, [limit])
            problem = replace(problem, limits=(limit,))
        return replace(problem, first=warm_start(settings.warm_start, problem.task()))

    def costs(self, plan: Plan) -> Costs:
        """Return all costs of a plan for the workload at hand."""
        return _costs(self.shape, plan, self.workload)

    def ratio(self, plan: Plan) -> float:
        """Return the cost to minimize: FLOPs, or sparse FLOPs, of a plan over the FLOPs of the dense plan."""
        return _ratio(self.shape, plan, self.workload, self.settings.minimize)

    def violations(self, plan: Plan) -> dict[str, float]:
        """Per limit how far a plan breaks it; at most 0 where it is kept."""
        return {limit.name: limit.violation(plan) for limit in self.limits}

    def feasible(self, plan: Plan) -> bool:
        """Return True if a plan keeps every limit."""
        return is_feasible(plan, self.limits)

    def task(self) -> Task:
        """Return what a strategy may use of the problem."""
        return Task(
            space=self.space,
            budget=self.settings.budget,
            flops_ratio=self.ratio,
            limits=self.limits,
            keep_fraction=self.settings.keep_fraction,
            seed=self.settings.seed,
            first=self.first,
            focus=self._focus(),
        )

    def _focus(self) -> Focus:
        low, high = self.settings.focus or (0.0, 1.0)
        return Focus(self.settings.min_accuracy or 0.0, low, high)

    def front_limits(self, floor: float | None = None) -> FrontLimits:
        """Return what a finished trial must keep to be on the front, where this floor was measured."""
        return FrontLimits(self.settings.max_flops, self.settings.min_accuracy, floor)

    def request(self, number: int | None, plan: Plan) -> TrialRequest:
        """Return the request that runs a plan with the search's settings."""
        settings = self.settings
        return TrialRequest(
            run=self.run,
            number=number,
            plan=plan,
            model=settings.model,
            data=settings.dataset,
            metric=settings.metric,
            workload=self.workload,
            tuning=settings.tuning,
            rungs=settings.rungs,
            seed=settings.seed,
            threads=settings.threads or max(1, (os.cpu_count() or 1) // settings.workers),
            time_limit=settings.time_limit,
            artifacts=str(settings.run_folder / "artifacts"),
        )

    def describe(self) -> dict[str, Any]:
        """Return what is stored with a run about the problem."""
        dense = self.costs(Plan.dense(self.shape.num_blocks))
        return {
            "num_blocks": self.shape.num_blocks,
            "space_size": str(self.space.size),
            "workload": self.workload.to_dict(),
            "dense_costs": dense.as_dict(),
            "fingerprints": self.fingerprints,
            "data": self.data,
        }


def _options(settings: Settings) -> dict[str, Any]:
    """Return the options of the space beside the model's depth."""
    return {} if settings.prunings is None else {"prunings": settings.prunings}


@lru_cache(maxsize=65536)
def _ratio(shape: ModelShape, plan: Plan, workload: Workload, minimize: str) -> float:
    spent = flops(shape, plan, workload).total
    if minimize == "sparse_flops":
        spent -= zero_flops(shape, plan, workload)
    return spent / dense_flops(shape, workload)


def _describe_data(splits: Mapping[Split, SplitData], metric: str | None) -> dict[str, Any]:
    search = splits["search"]
    return {
        "task": search.task,
        "metric": metric,
        "columns": dict(search.columns),
        "rows": {name: split.rows for name, split in splits.items()},
        "skipped": {name: split.skipped for name, split in splits.items()},
    }


@lru_cache(maxsize=65536)
def _costs(shape: ModelShape, plan: Plan, workload: Workload) -> Costs:
    return costs(shape, plan, workload)
