"""The search problem: model shape, workload, space, limits, and the costs of any plan. Imports no torch."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, get_args

from objectives.flops import Costs, dense_flops, flops
from objectives.front import FrontLimits
from objectives.latency import TimeTable
from objectives.metrics import METRICS
from objectives.objectives import COST_NAMES
from objectives.sparsity import kept_weights
from objectives.workload import Workload
from search.loop.number_of_workers import number_of_workers
from search.loop.warm_start import warm_start
from search.quantities import latency_text, memory_text, parse_latency, parse_memory, with_stated
from search.settings import Settings, SettingsError
from search.strategies.strategy import Focus, Task
from search.trackers import check_packages
from spaces.constraints import Limit, check_reachable, is_feasible
from spaces.plan import Plan
from spaces.shape import ModelShape
from spaces.spaces import Space, load_space
from workers.data.load_split import load_split
from workers.data.pick_metric import pick_metric
from workers.data.sample import SplitData
from workers.describe import describe_model, describe_workload
from workers.export.facts_without_weights import read_facts
from workers.export.route_costs import AS_SEARCHED, Deployment
from workers.fingerprints import fingerprint_model, fingerprint_samples
from workers.machine_limits import usable_cores, usable_memory
from workers.models.device import check_device
from workers.reports import RungReport
from workers.requests import TrialRequest
from workers.software import versions
from workers.sources import Split
from workers.usable_rows import usable_split

CHEAPER = "cheaper than the dense model"
"""Name of the limit that keeps the dense model off the front if it exceeds another limit."""


@dataclass(frozen=True)
class Problem:
    """One search problem. Costs are in closed form, but for latencies, which are predicted from measured times."""

    settings: Settings
    shape: ModelShape
    workload: Workload
    space: Space
    fingerprints: dict[str, str]
    deployment: Deployment = AS_SEARCHED
    """The route by which plans are deployed, whose costs count."""
    limits: tuple[Limit, ...] = field(default=())
    data: Mapping[str, Any] = field(default_factory=dict)
    """Facts about the data set: task, metric, columns, rows and skipped rows by split."""
    first: tuple[tuple[str, Plan], ...] = ()
    """(origin, plan) of the warm starts."""
    run: str | None = None
    """Id of the run; part of the names of stored files."""

    @classmethod
    def resolve(cls, settings: Settings) -> "Problem":
        """Return the problem of these settings, after reading the model's configuration and the data.

        If metric or number of workers are None, the settings of the problem have the usual metric for the data and the
        number of workers that suits model, search and machine.

        Raises:
            ValueError: model, data, metric or limits cannot be used; one line for the user. No file has been created.
        """
        check_packages(settings.callbacks)
        if not settings.on_ray:
            check_device(settings.model.device)
        shape = describe_model(settings.model)
        # All splits are read now, so that an unreadable test split is found before the search and not after it.
        splits = {split: usable_split(settings.model, settings.dataset, split) for split in get_args(Split)}
        settings = settings.model_copy(update={"metric": pick_metric(splits["search"], settings.metric)})
        samples = splits["search"].samples
        workload = with_stated(describe_workload(settings.model, samples), settings.workload)
        space = load_space(settings.space, shape.num_blocks, shape.kinds, **_options(settings))
        for level in space.choices(0):
            kept_weights(shape, level, 0)  # raises if the file of a saved mask is missing
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
            marks |= {f"rule of {settings.metric}": _rule(str(settings.metric))}
        data = _describe_data(splits, settings.metric)
        deployment = Deployment(settings.deploy, read_facts(settings.model))
        return cls(settings, shape, workload, space, marks, deployment, data=data)._staffed()._limited()

    def _staffed(self) -> "Problem":
        """Return the problem with a number of workers."""
        if self.settings.workers is not None:
            return self
        dense = self.costs(self._dense)
        number = number_of_workers(
            self.settings, dense.parameter_bytes, dense.flops, self.data["rows"], usable_cores(), usable_memory()
        )
        return replace(self, settings=self.settings.model_copy(update={"workers": number}))

    def timed(self, times: TimeTable) -> "Problem":
        """Return the problem with measured times, from which latencies are predicted.

        Raises:
            SettingsError: the times are of another workload.
            ValueError: the limits can't be reached; one line for the user.
        """
        if times.workload != self.workload:
            raise SettingsError(
                f"latencies must be of the workload that was measured, {times.workload.to_dict()}, got "
                f"{self.workload.to_dict()}: choose another --out"
            )
        return replace(self, deployment=self.deployment.timed(times))._limited()

    def _limited(self) -> "Problem":
        """Return the problem with its limits and its warm starts, which keep them."""
        problem = replace(self, limits=tuple(self._limits()))
        check_reachable(self.space, problem.limits)
        return replace(problem, first=warm_start(self.settings.warm_start, problem.task()))

    @property
    def lacks_times(self) -> bool:
        """Return True if latency counts and its times have not been measured yet; ratios are those of FLOPs then."""
        return self.settings.needs_times and self.deployment.times is None

    @property
    def cost(self) -> str:
        """Return the name of the cost that `ratio` returns: FLOPs, sparse FLOPs or latency."""
        return COST_NAMES[self._minimized]

    @property
    def _minimized(self) -> str:
        waits = self.settings.minimize == "latency" and self.deployment.times is None
        return "flops" if waits else self.settings.minimize

    def _limits(self) -> Iterator[Limit]:
        """Yield the limits that the settings put on plans.

        The front compares the minimized cost alone. Where the dense model exceeds a limit on another cost, plans must
        therefore be cheaper than the dense model, which keeps it off the front.
        """
        others = list(self._limits_on_others())
        if self.settings.max_flops is not None:
            is_minimized = self._minimized != "latency"
            measure = self.ratio if is_minimized else self._flops_ratio
            limit = Limit("--max-flops", self.settings.max_flops, measure, of_cost=is_minimized)
            if is_minimized:
                yield limit
            else:
                others.append(limit)
        yield from others
        if not is_feasible(self._dense, others):
            yield Limit(CHEAPER, math.nextafter(1.0, 0.0), self.ratio, of_cost=True)
        if not self.deployment.is_additive:
            yield Limit(f"--deploy {self.settings.deploy}", 0, self.deployment.misfits)

    def _limits_on_others(self) -> Iterator[Limit]:
        settings = self.settings
        if settings.max_latency is not None and self.deployment.times is not None:
            yield Limit("--max-latency", parse_latency(settings.max_latency), self._latency, text=latency_text)
        if settings.max_memory is not None:
            most = parse_memory(settings.max_memory)
            yield Limit("--max-memory", most, lambda plan: self.costs(plan).memory_bytes, text=memory_text)

    def _latency(self, plan: Plan) -> float:
        latency = self.costs(plan).latency
        assert latency is not None, "limits on latency exist once times are measured"
        return latency.total

    def _flops_ratio(self, plan: Plan) -> float:
        return self.costs(plan).flops_ratio

    @property
    def _dense(self) -> Plan:
        return Plan.dense(self.shape.num_blocks)

    @property
    def max_cost(self) -> float | None:
        """Return the maximum ratio of the minimized cost on the front; None for no limit."""
        names = [CHEAPER] if self.settings.minimize == "latency" else [CHEAPER, "--max-flops"]
        return min((limit.bound for limit in self.limits if limit.name in names), default=None)

    def costs(self, plan: Plan) -> Costs:
        """Return the costs of a plan, as it will be deployed, for the workload of this problem."""
        return _costs(self.deployment, self.shape, plan, self.workload)

    def ratio(self, plan: Plan) -> float:
        """Return the cost to minimize of a plan (FLOPs, sparse FLOPs or latency), divided by that of the dense plan."""
        return _ratio(self.deployment, self.shape, plan, self.workload, self._minimized)

    def violations(self, plan: Plan) -> dict[str, float]:
        """Return limit name -> amount by which a plan exceeds the limit; 0 or less if it is kept."""
        return {limit.name: limit.violation(plan) for limit in self.limits}

    def feasible(self, plan: Plan) -> bool:
        """Return True if a plan keeps all limits."""
        return is_feasible(plan, self.limits)

    def task(self) -> Task:
        """Return the part of the problem that a strategy may use."""
        return Task(
            space=self.space,
            budget=self.settings.budget,
            flops_ratio=self.ratio,
            is_additive=self.deployment.is_additive,
            runs_as=self.deployment.runs_as,
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
        """Return the limits that a finished trial must keep to be on the front, with the measured floor if given."""
        return FrontLimits(self.max_cost, self.settings.min_accuracy, floor, self.cost)

    def priced(self, report: RungReport, plan: Plan) -> RungReport:
        """Return the report of a rung with the costs that its worker doesn't know: the predicted latency, and the
        name of the cost that is minimized.
        """
        own = self.costs(plan).as_dict() if self.deployment.times is not None else {}
        times = {name: value for name, value in own.items() if name.startswith("latency")}
        return report.model_copy(update={"costs": {**report.costs, **times, "minimized": self.settings.minimize}})

    def request(self, number: int | None, plan: Plan) -> TrialRequest:
        """Return the request that runs a plan with the settings of the search.

        Args:
            number: number of the trial; None for a plan that is run outside a search.
            plan: the plan to run.
        """
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
            threads=settings.threads or max(1, usable_cores() // settings.num_workers),
            time_limit=settings.time_limit,
            deploy=settings.deploy,
            artifacts=str(settings.run_folder / "artifacts"),
        )

    def describe(self) -> dict[str, Any]:
        """Return the facts about the problem that are stored with a run, as JSON values."""
        dense = self.costs(Plan.dense(self.shape.num_blocks))
        return {
            "num_blocks": self.shape.num_blocks,
            "space_size": str(self.space.size),
            "workload": self.workload.to_dict(),
            "dense_costs": dense.as_dict(),
            "fingerprints": self.fingerprints,
            "data": self.data,
            "max_cost": self.max_cost,
            **({} if self.deployment.times is None else {"times": self.deployment.times.to_dict()}),
        }


def _rule(metric: str) -> str:
    """Return the version of the rule of a metric; that of a task is the version of lmms-eval."""
    return versions().get("lmms_eval", "unknown") if METRICS[metric].by_task else METRICS[metric].rule


def _options(settings: Settings) -> dict[str, Any]:
    """Return the options of the space besides the model's depth."""
    return {} if settings.prunings is None else {"prunings": settings.prunings}


@lru_cache(maxsize=65536)
def _ratio(deployment: Deployment, shape: ModelShape, plan: Plan, workload: Workload, minimize: str) -> float:
    if minimize == "flops" and deployment.is_additive:
        return flops(shape, plan, workload).total / dense_flops(shape, workload)  # without the other costs: faster
    if minimize == "latency":
        times = deployment.times
        assert times is not None, "times are measured before a search"
        return times.predict(deployment.deployed(plan)).total / times.predict(Plan.dense(shape.num_blocks)).total
    spent = deployment.costs(shape, plan, workload)
    return (spent.sparse_flops if minimize == "sparse_flops" else spent.flops) / dense_flops(shape, workload)


def _describe_data(splits: Mapping[Split, SplitData], metric: str | None) -> dict[str, Any]:
    search = splits["search"]
    return {
        "task": search.task,
        "metric": metric,
        "columns": dict(search.columns),
        "unused columns": list(search.unused),
        "rows": {name: split.rows for name, split in splits.items()},
        "skipped": {name: split.skipped for name, split in splits.items()},
    }


@lru_cache(maxsize=65536)
def _costs(deployment: Deployment, shape: ModelShape, plan: Plan, workload: Workload) -> Costs:
    return deployment.costs(shape, plan, workload)
