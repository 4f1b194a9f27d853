"""Plans as parameters of an Optuna sampler, and back."""

from collections.abc import Mapping
from typing import Any, Protocol

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from spaces.interval import IntervalSpace, run_of
from spaces.plan import Block, Op, Plan
from spaces.product import choices_of, plan_of
from spaces.spaces import Space


class Encoding(Protocol):
    """Converts the plans of a space to parameters, and parameters back to plans."""

    @property
    def distributions(self) -> Mapping[str, BaseDistribution]:
        """Return the Optuna distribution of each parameter, by name."""
        ...

    def encode(self, plan: Plan) -> dict[str, Any]:
        """Return the value of each parameter for a plan of the space, by name."""
        ...

    def decode(self, parameters: Mapping[str, Any]) -> Plan:
        """Return the plan of these parameters, always a plan of the space."""
        ...


def encoding_of(space: Space) -> Encoding:
    """Return the encoding of a space: four parameters for the interval space, one per block for all others."""
    return IntervalEncoding(space) if isinstance(space, IntervalSpace) else BlockEncoding(space)


class BlockEncoding:
    """One categorical parameter per block, with the names of its levels as choices."""

    def __init__(self, space: Space) -> None:
        self.distributions = {
            f"block_{index:02d}": CategoricalDistribution([block.name for block in space.choices(index)])
            for index in range(space.num_blocks)
        }

    def encode(self, plan: Plan) -> dict[str, Any]:
        return {name: block.name for name, block in zip(self.distributions, choices_of(plan), strict=True)}

    def decode(self, parameters: Mapping[str, Any]) -> Plan:
        return plan_of([Block.named(parameters[name]) for name in self.distributions])


class IntervalEncoding:
    """Op, interval, start and end: block i is changed if start < i < end and i is a multiple of the interval."""

    def __init__(self, space: Space) -> None:
        self._num_blocks = num_blocks = space.num_blocks
        self.distributions = {
            "op": CategoricalDistribution([block.name for block in space.choices(0) if block.op is not Op.KEEP]),
            "interval": IntDistribution(1, max(1, num_blocks - 1)),
            "start": IntDistribution(-1, num_blocks - 1),
            "end": IntDistribution(0, num_blocks),
        }

    def encode(self, plan: Plan) -> dict[str, Any]:
        changed = [index for index, op in enumerate(plan.ops) if op is not Op.KEEP]
        if not changed:
            op = self.distributions["op"].to_external_repr(0)
            return {"op": op, "interval": 1, "start": self._num_blocks - 1, "end": 0}
        step = changed[1] - changed[0] if len(changed) > 1 else 1
        return {
            "op": plan.blocks[changed[0]].name,
            "interval": step,
            "start": changed[0] - 1,
            "end": changed[-1] + 1,
        }

    def decode(self, parameters: Mapping[str, Any]) -> Plan:
        start, end = parameters["start"], parameters["end"]
        run = run_of(parameters["interval"], start, end, self._num_blocks) if start < end else None
        changed = run.blocks if run else ()
        return Plan.of(parameters["op"] if i in changed else Op.KEEP for i in range(self._num_blocks))
