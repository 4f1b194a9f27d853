"""Predicts the latency of a plan from a table of times that was measured once on the worker's device.

The table holds the times of the dense model and, for each kind of block and each op, the time by which that op changes
them. A prediction is the sum over the blocks of the plan: the same table and plan give the same number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from objectives.workload import Workload
from spaces.plan import Block, Op, Plan

Place = tuple[int, ...]
"""Kind numbers of the blocks that an op changes: two for a pair, else one."""
PLACE = ("device", "processor", "threads")
"""Facts of `TimeTable.origin` on which latencies depend besides model and workload."""


class LatencyError(ValueError):
    """A latency that can't be measured or predicted. The message is one line for the user."""


@dataclass(frozen=True)
class Seconds:
    """Seconds of the two kinds of passes over one batch."""

    prefill: float
    """From the outputs of the vision tower to the first token."""
    decode: float
    """One decode step."""

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.prefill + other.prefill, self.decode + other.decode)


@dataclass(frozen=True)
class Latency:
    """Latency of one batch of requests, in seconds."""

    vision: float
    """Vision tower."""
    prefill: float
    """Mapping module, decoder and LM head, to the first token."""
    decode: float
    """One decode step."""
    total: float
    """From the images to the last token of the workload."""

    def as_dict(self) -> dict[str, float]:
        """Return the seconds by name: `latency` for all, and `latency_vision` and so on."""
        parts = {f"latency_{name}": value for name, value in asdict(self).items() if name != "total"}
        return {"latency": self.total, **parts}


@dataclass(frozen=True)
class TimeTable:
    """Times of a model on one device for one workload."""

    workload: Workload
    """The workload of the search."""
    vision: float
    """Seconds of the vision tower."""
    dense: Seconds
    """Times of the dense model, from the outputs of the vision tower."""
    kinds: tuple[int, ...]
    """Kind number of each block; blocks of one kind share their times."""
    changes: Mapping[tuple[Place, Block], Seconds]
    """(kind numbers, block of a plan) -> times relative to the block as it is; negative if the op saves time."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Device, threads, versions, tokens and rounds of the measurement, as JSON values."""

    def predict(self, plan: Plan) -> Latency:
        """Return the predicted latency of a plan.

        Raises:
            LatencyError: an op of the plan was not measured.
        """
        seconds = self.dense
        for change in self._changes(plan):
            seconds += change
        prefill, decode = max(seconds.prefill, 0.0), max(seconds.decode, 0.0)
        total = self.vision + prefill + self.workload.decode_steps * decode
        return Latency(self.vision, prefill, decode, total)

    def _changes(self, plan: Plan) -> Iterator[Seconds]:
        for index, block in enumerate(plan.blocks):
            if block == Block() or (block.op is Op.PAIRED and block.pruning is None):
                continue
            place = self.kinds[index : index + 2] if block.op is Op.PAIR else self.kinds[index : index + 1]
            if (change := self.changes.get((place, block))) is None:
                raise LatencyError(
                    f"the latency of a plan can be predicted from measured ops, got '{block.name}' at block {index} of "
                    f"'{plan}', which was not measured: choose a plan of the space of the search"
                )
            yield change

    def to_dict(self) -> dict[str, Any]:
        """Return the table as JSON values."""
        changes = [
            {"kinds": list(place), "block": block.name, **asdict(change)}
            for (place, block), change in self.changes.items()
        ]
        return {
            "workload": self.workload.to_dict(),
            "vision": self.vision,
            "dense": asdict(self.dense),
            "kinds": list(self.kinds),
            "changes": changes,
            "origin": dict(self.origin),
        }

    @classmethod
    def from_dict(cls, source: Mapping[str, Any]) -> TimeTable:
        """Return the table of `to_dict`."""
        return cls(
            workload=Workload.from_dict(source["workload"]),
            vision=source["vision"],
            dense=Seconds(**source["dense"]),
            kinds=tuple(source["kinds"]),
            changes={
                (tuple(each["kinds"]), Block.named(each["block"])): Seconds(each["prefill"], each["decode"])
                for each in source["changes"]
            },
            origin=source["origin"],
        )


def check_times(table: TimeTable) -> None:
    """Check that the times of a table are usable.

    Raises:
        LatencyError: a time of the dense model is not a positive number.
    """
    for name, value in (("prefill", table.dense.prefill), ("decode step", table.dense.decode)):
        if not (math.isfinite(value) and value > 0):
            raise LatencyError(f"the {name} of the dense model must take a positive time, got {value} s: measure again")
