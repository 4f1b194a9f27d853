"""Tables of artificial landscapes: plans of 24 to 80 blocks with results by a formula, computed on first use.

`python -m benchmarks.truth.artificial` estimates the front of every artificial landscape by a long evolution on the
formula itself, and stores its hypervolume in `benchmarks/data/made.json`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks.truth.enumerated import DATA
from benchmarks.truth.formula import QUESTIONS, Formula
from benchmarks.truth.landscapes import Landscape
from benchmarks.truth.table import Table
from objectives.dominance import non_dominated
from objectives.hypervolume import hypervolume
from objectives.objectives import MAXIMIZE, REFERENCE
from search.strategies.guided.children import children
from search.strategies.plan_bits import Codes, Coding
from spaces.plan import Op, Plan

VOLUMES = DATA / "made.json"
"""File of the hypervolumes of the fronts."""
OPS = (Op.SKIP_ATTN, Op.SKIP_FFN, Op.SKIP_BLOCK)
GENERATIONS, CHILDREN = 60, 1000
"""Generations, and children per generation, of the evolution that estimates a front."""


@dataclass(frozen=True)
class Made:
    """An artificial landscape and the noise of its accuracies."""

    formula: Formula
    noisy: bool = False
    """True if the accuracy of a plan is one binomial draw instead of the share of right answers."""
    margins: bool = True
    importance: bool = True


@dataclass
class MadeTable(Table):
    """The plans of an artificial landscape that have been computed so far."""

    made: Made
    landscape: Landscape
    right: dict[str, np.ndarray] = field(default_factory=lambda: {"search": np.empty((0, 1))})
    flops_ratio: np.ndarray = field(default_factory=lambda: np.empty(0))
    seen: list[float] = field(default_factory=list)
    """Accuracy of every row as strategies read it."""
    index: dict[Plan, int] = field(default_factory=dict)
    """Plan -> row."""
    kinds: tuple[str, ...] = ("made",)

    @classmethod
    def of(cls, name: str, made: Made) -> "MadeTable":
        """Return the empty table of an artificial landscape."""
        blocks = tuple(range(made.formula.num_blocks))
        return cls(made, Landscape(name, "layers", OPS, blocks, QUESTIONS))

    @property
    def questions(self) -> Mapping[str, np.ndarray]:
        return {"search": np.array([QUESTIONS])}

    @property
    def origin(self) -> Mapping[str, Any]:
        return {"formula": str(self.made)}

    @cached_property
    def coding(self) -> Coding:
        """Return the bits of the plans: attention and FFN of every block."""
        return Coding(self.landscape.searched)

    def row(self, plan: Plan) -> int:
        if plan not in self.index:
            bits = self._bits(plan)
            right = (self.made.formula.margins(bits) > 0).sum(1)
            self.index[plan] = len(self.index)
            self.right["search"] = np.concatenate([self.right["search"], right[:, None]])
            self.flops_ratio = np.concatenate([self.flops_ratio, self.made.formula.costs(bits)])
            self.seen.append(self._observed(plan, int(right[0])))
        return self.index[plan]

    def cost(self, plan: Plan) -> float:
        return float(self.made.formula.costs(self._bits(plan))[0])

    def climb(self, row: int) -> tuple[float, ...]:
        return (self.seen[row],)

    def margins_of(self, row: int) -> tuple[float, ...] | None:
        if not self.made.margins:
            return None
        plan = next(plan for plan, place in self.index.items() if place == row)
        return tuple(self.made.formula.margins(self._bits(plan))[0].tolist())

    def importance(self, seed: int) -> tuple[tuple[float, float], ...] | None:
        return self.made.formula.importance if self.made.importance else None

    def volume(self, split: str = "search") -> float:
        known: float = json.loads(VOLUMES.read_text())[self.landscape.name]
        return known

    def share(self, rows: Sequence[int]) -> float:
        """Return the share of the true hypervolume that the plans on the front of the noisy accuracies have."""
        if not rows:
            return 0.0
        seen = np.stack([np.array(self.seen)[list(rows)], self.flops_ratio[list(rows)]], axis=1)
        return super().share(np.array(rows)[non_dominated(seen, MAXIMIZE)].tolist())

    def _bits(self, plan: Plan) -> np.ndarray:
        return self.coding.bits(self.coding.encode([plan]))

    def _observed(self, plan: Plan, right: int) -> float:
        if not self.made.noisy:
            return right / QUESTIONS
        rng = np.random.default_rng([self.made.formula.seed, int(plan.digest[:8], 16)])
        return float(rng.binomial(QUESTIONS // 2, right / QUESTIONS)) / (QUESTIONS // 2)


def estimate(table: MadeTable) -> float:
    """Return the hypervolume of the front that a long evolution on the formula finds."""
    formula, coding, rng = table.made.formula, table.coding, np.random.default_rng(0)
    archive: Codes = np.zeros((1, formula.num_blocks), dtype=np.int16)
    points = _points(formula, coding.bits(archive))
    for _ in range(GENERATIONS):
        born = children(table.landscape.searched, coding, archive, CHILDREN, rng)
        archive = np.concatenate([archive, born])
        points = np.concatenate([points, _points(formula, coding.bits(born))])
        points, first = np.unique(points, axis=0, return_index=True)
        front = non_dominated(points, MAXIMIZE)
        archive, points = archive[first[front]], points[front]
    return hypervolume(points, REFERENCE, MAXIMIZE)


def _points(formula: Formula, bits: np.ndarray) -> np.ndarray:
    return np.stack([(formula.margins(bits) > 0).mean(1), formula.costs(bits)], axis=1)


CHOSEN_ON = {
    "mild24": Made(Formula("mild", 24), margins=False, importance=False),
    "noisy24": Made(Formula("mild", 24, seed=1), noisy=True, margins=False, importance=False),
    "redundant24": Made(Formula("redundant", 24)),
    "distant24": Made(Formula("distant", 24), importance=False),
    "fragile24": Made(Formula("fragile", 24)),
    "neighbour40": Made(Formula("neighbour", 40)),
    "heavy40": Made(Formula("mild", 40, tail=2.0)),
    "mild80": Made(Formula("mild", 80)),
}
"""Name -> artificial landscape that was used to choose strategies and their settings."""
HELD_OUT = {
    "exclusive24": Made(Formula("exclusive", 24, seed=2)),
    "heavy24": Made(Formula("mild", 24, tail=2.0, seed=2), margins=False, importance=False),
    "neighbour24": Made(Formula("neighbour", 24, seed=2), importance=False),
    "fragile40": Made(Formula("fragile", 40, seed=2), margins=False),
    "mild40": Made(Formula("mild", 40, seed=2), margins=False, importance=False),
    "noisy40": Made(Formula("distant", 40, seed=2), noisy=True, margins=False, importance=False),
    "redundant40": Made(Formula("redundant", 40, seed=2)),
    "exclusive80": Made(Formula("exclusive", 80, seed=2)),
}
"""Name -> artificial landscape that was not used for any choice."""
MADE = CHOSEN_ON | HELD_OUT


def open_made(name: str) -> MadeTable:
    """Return the empty table of an artificial landscape by name."""
    return MadeTable.of(name, MADE[name])


def main() -> None:
    """Estimate the front of every artificial landscape and store the hypervolumes."""
    volumes = {}
    for name in MADE:
        volumes[name] = round(estimate(open_made(name)), 6)
        print(f"{name:14} {volumes[name]:.4f}", flush=True)
    VOLUMES.write_text(json.dumps(volumes, indent=1) + "\n")


if __name__ == "__main__":
    main()
