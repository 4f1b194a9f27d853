"""Costs of a plan on the route by which it will be deployed. Imports no torch.

A stock layer with one sub-layer costs as much as a whole one, and nemotron-nas gives a lone attention an FFN of zeros.
Remote code runs what the plan says. The vision tower and the projector count on every route, since a question with an
image needs them, also where a format holds the language model alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from objectives.flops import Costs, costs, with_zero_ffns
from objectives.latency import TimeTable
from objectives.workload import Workload
from spaces.plan import Block, Op, Plan
from spaces.pruning import FULL
from spaces.shape import ModelShape
from workers.export.layer_facts import Facts
from workers.export.pack_layers import Layer, is_stock, pack_sublayers, sublayer_blocks, width_of
from workers.export.route import LANGUAGE_ONLY, ZERO_CHANNELS, ExportError, Route, check_language_model, export_route
from workers.requests import Deploy

COSTLIER: tuple[Deploy, ...] = ("transformers", "nemotron-nas")
"""Routes that may cost more than the plan itself."""


class Deployment:
    """The route by which the plans of a model will be deployed, and their costs on it."""

    def __init__(self, form: Deploy, facts: Facts, times: TimeTable | None = None) -> None:
        """Check that the model has the route.

        Args:
            form: where plans will run.
            facts: properties of the model.
            times: measured times, from which latencies are predicted; None if latency does not count.

        Raises:
            ExportError: no plan of the model can be exported in this form.
        """
        if form in LANGUAGE_ONLY:
            check_language_model(facts, form, "the model")
        self.form, self.times, self._facts = form, times, facts
        self.runs_as = lru_cache(maxsize=65536)(self._runs_as)
        """Return a plan without the changes that the route cannot hold or does not save; the plan itself if its widths
        do not fit."""

    def timed(self, times: TimeTable) -> Deployment:
        """Return the same route with measured times."""
        return Deployment(self.form, self._facts, times)

    @property
    def is_additive(self) -> bool:
        """Return True if the savings of blocks add up: no change costs more or less because of another one."""
        return self.form not in COSTLIER

    def misfits(self, plan: Plan) -> int:
        """Return the number of blocks that keep a plan from this route; 0 if the route can express it."""
        return 0 if self.form not in COSTLIER else misfits(plan, self._facts, self.form)

    def costs(self, shape: ModelShape, plan: Plan, workload: Workload) -> Costs:
        """Return the costs of a plan on the route, or as searched if the route cannot express it."""
        route = None if self.form not in COSTLIER else self._route(plan)
        spent = costs(shape, plan, workload) if route is None else costs_on(route, shape, workload)
        return spent if self.times is None else replace(spent, latency=self.times.predict(self.deployed(plan)))

    def deployed(self, plan: Plan) -> Plan:
        """Return the plan that runs on the route, with the sub-layers that are filled with zeros; the plan itself if
        the route cannot express it.
        """
        route = None if self.form not in COSTLIER else self._route(plan)
        return plan if route is None else route.deployed

    def _route(self, plan: Plan) -> Route | None:
        try:
            return export_route(plan, self._facts, self.form)
        except ExportError:
            return None

    def _runs_as(self, plan: Plan) -> Plan:
        if self.form not in COSTLIER:
            return plan
        kept = (
            block if is_stock(block) and index >= self._facts.fixed else Block(pruning=block.pruning)
            for index, block in enumerate(plan.blocks)
        )
        route = self._route(Plan(tuple(kept)))
        return plan if route is None else route.deployed


AS_SEARCHED = Deployment("any", Facts(None))
"""Costs of the plan itself, for models of which nothing else is known."""


def costs_on(route: Route, shape: ModelShape, workload: Workload) -> Costs:
    """Return the costs of an export: its FLOPs are those that torch counts in the exported folder.

    Args:
        route: the form of the export.
        shape: the shape of the dense model.
        workload: numbers of tokens.
    """
    spent = costs(shape, route.deployed, workload)
    return with_zero_ffns(spent, route.num_zero_ffns, ZERO_CHANNELS, shape, workload)


@dataclass(frozen=True)
class ExportCosts:
    """The costs of an export, and those that the search counted for its plan."""

    paid: Costs
    searched: Costs

    @property
    def differ(self) -> bool:
        """Return True if the folder has other FLOPs than the front shows."""
        return self.paid.flops != self.searched.flops

    def __str__(self) -> str:
        share = f"{self.paid.flops_ratio:.1%} of the dense FLOPs"
        return f"{share} in this folder, {self.searched.flops_ratio:.1%} on the front" if self.differ else share


def costs_of(route: Route, deploy: Deploy, facts: Facts, shape: ModelShape, workload: Workload) -> ExportCosts:
    """Return the costs of an export beside those of the search.

    Args:
        route: the form of the export.
        deploy: the route that the search counted.
        facts: properties of the model.
        shape: the shape of the dense model.
        workload: numbers of tokens.
    """
    searched = Deployment(deploy, facts).costs(shape, route.plan, workload)
    return ExportCosts(costs_on(route, shape, workload), searched)


def route_ratios(shape: ModelShape, plan: Plan, workload: Workload, facts: Facts) -> dict[str, float | None]:
    """Return route -> FLOPs ratio of a plan there; None where no export is possible."""
    as_searched: dict[str, float | None] = {"remote-code": costs(shape, plan, workload).flops_ratio}
    return as_searched | {form: _ratio_on(form, shape, plan, workload, facts) for form in COSTLIER}


def _ratio_on(form: Deploy, shape: ModelShape, plan: Plan, workload: Workload, facts: Facts) -> float | None:
    try:
        return costs_on(export_route(plan, facts, form), shape, workload).flops_ratio
    except ExportError:
        return None


def misfits(plan: Plan, facts: Facts, form: Deploy) -> int:
    """Return the number of blocks or layers that keep a plan from stock layers or nemotron-nas; 0 if there are none.

    Args:
        plan: the plan.
        facts: properties of the model.
        form: `transformers` or `nemotron-nas`.
    """
    other = sum(not is_stock(block) for block in plan.blocks)
    if other:
        return other
    layers = pack_sublayers(plan)
    narrow = _narrow(plan, facts, layers)
    if form in LANGUAGE_ONLY:
        return narrow or int(not layers)
    moved = sum(block.op is not Op.KEEP for block in plan.blocks[: facts.fixed])
    mixed = 0 if facts.mixable else sum(layer.is_whole and layer.attention != layer.ffn for layer in layers)
    lone = 0 if facts.can_silence else sum(not layer.is_whole for layer in layers)
    return moved + mixed + narrow + lone


def _narrow(plan: Plan, facts: Facts, layers: Sequence[Layer]) -> int:
    """Return the number of sub-layers of other widths than most, or of any pruned ones if the config has no widths."""
    counts = [
        Counter(width_of(plan, index, name) for index in blocks)
        for name, blocks in sublayer_blocks(tuple(layers)).items()
    ]
    if not all(hasattr(facts.text, key) for key in ("num_key_value_heads", "head_dim", "intermediate_size")):
        return sum(count for each in counts for width, count in each.items() if width < FULL)
    return sum(each.total() - max(each.values(), default=0) for each in counts)
