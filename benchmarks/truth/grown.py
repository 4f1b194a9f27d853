"""A table of a space too large to enumerate: a plan is measured on first use and stored.

Only the search split is measured, and margins only for strategies that read them. Any process appends a new plan to
`NAME.jsonl` in the folder immediately, one line per plan; `save` combines all plans in `NAME.npz`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.truth.enumerated import DATA
from benchmarks.truth.examiner import Examiner, examiner_of
from benchmarks.truth.landscapes import LANDSCAPES, Landscape
from benchmarks.truth.table import Table
from objectives.flops import costs
from objectives.workload import Workload
from spaces.plan import Plan
from spaces.shape import ModelShape
from workers.data.load_split import load_samples
from workers.describe import describe_model, describe_workload
from workers.sources import DataSource, ModelSource

UNKNOWN = -128
"""Replaces margins that were not measured; margins are never that low (`workers.evaluation.margins.FARTHEST`)."""


@dataclass
class Grown(Table):
    """The results of the plans measured so far, in order of measurement."""

    landscape: Landscape
    folder: Path
    examiner: Examiner
    kinds: tuple[str, ...]
    questions: Mapping[str, np.ndarray]
    origin: dict[str, Any]
    """Empty before the first measurement."""
    right: dict[str, np.ndarray]
    margins: np.ndarray
    """`UNKNOWN` in rows of plans without measured margins."""
    asked: np.ndarray
    flops_ratio: np.ndarray = field(default_factory=lambda: np.empty(0))
    index: dict[Plan, int] = field(default_factory=dict)
    """Plan -> row."""
    known_wins: np.ndarray | None = None
    """`Table.wins`, once they are measured."""

    @classmethod
    def load(cls, name: str, folder: Path = DATA, examiner: Examiner | None = None) -> "Grown":
        """Return the stored table with all later measurements, or an empty one.

        Args:
            name: name of the landscape.
            folder: folder of the tables.
            examiner: measures plans that are not stored; None: the model of the landscape.
        """
        landscape = LANDSCAPES[name]
        asked = _kinds_of_questions(landscape)
        kinds = tuple(dict.fromkeys(asked))
        of_question = np.array([kinds.index(kind) for kind in asked])
        table = cls(
            landscape,
            folder,
            examiner or examiner_of(landscape),
            kinds,
            questions={"search": np.array([asked.count(kind) for kind in kinds])},
            origin={},
            right={"search": np.empty((0, len(kinds)), np.uint16)},
            margins=np.empty((0, len(asked)), np.int8),
            asked=of_question,
        )
        if table._stored.exists():
            with np.load(table._stored) as stored:
                table.origin, table.known_wins = json.loads(str(stored["origin"])), stored["wins"]
                plans = list(map(Plan.parse, stored["plans"].tolist()))
                table._extend(plans, stored["right_search"], stored["margins"], stored["flops_ratio"])
        table._read_new()
        return table

    @property
    def _stored(self) -> Path:
        return self.folder / f"{self.landscape.name}.npz"

    @property
    def _new(self) -> Path:
        return self.folder / f"{self.landscape.name}.jsonl"

    def _read_new(self) -> None:
        """Add the plans that any process has measured since the table was stored."""
        lines = self._new.read_text().splitlines() if self._new.exists() else []
        found = {Plan.parse(text): (right, margins) for text, right, margins in map(json.loads, lines)}
        plans = [plan for plan in found if plan not in self.index]
        if plans:
            right = np.array([found[plan][0] for plan in plans])
            unknown = np.full((len(plans), len(self.asked)), UNKNOWN)
            self._extend(plans, right, unknown, np.array([self.cost(plan) for plan in plans]))
        for plan, (_, margins) in found.items():
            self.margins[self.index[plan]] = margins

    def _extend(self, plans: Sequence[Plan], right: np.ndarray, margins: np.ndarray, ratios: np.ndarray) -> None:
        self.index |= {plan: row for row, plan in enumerate(plans, start=len(self.index))}
        self.right["search"] = np.concatenate([self.right["search"], right.astype(np.uint16)])
        self.margins = np.concatenate([self.margins, margins.astype(np.int8)])
        self.flops_ratio = np.concatenate([self.flops_ratio, ratios])

    def save(self) -> Path:
        """Write all measured plans, of this and other processes, to one file and return it."""
        self._read_new()
        if not self.origin:
            self.origin = self.examiner.origin()
        part = self._stored.with_suffix(".part.npz")
        np.savez_compressed(
            part,
            plans=np.array([str(plan) for plan in self.index]),
            right_search=self.right["search"],
            margins=self.margins,
            flops_ratio=self.flops_ratio,
            wins=self.wins,
            origin=np.array(json.dumps(self.origin)),
        )
        part.replace(self._stored)
        self._new.unlink(missing_ok=True)
        return self._stored

    @property
    def wins(self) -> np.ndarray:  # type: ignore[override]
        if self.known_wins is None:
            self.known_wins = self.examiner.wins()
        return self.known_wins

    def row(self, plan: Plan) -> int:
        if plan not in self.index:
            right, margins = self._measure(plan)
            self._note(plan, right, margins)
            self._extend([plan], right[None], margins[None], np.array([self.cost(plan)]))
        return self.index[plan]

    def margins_of(self, row: int) -> tuple[float, ...]:
        if self.margins[row, 0] == UNKNOWN:
            plan = next(plan for plan, place in self.index.items() if place == row)
            right, self.margins[row] = self._measure(plan)
            self._note(plan, right, self.margins[row])
        return super().margins_of(row)

    def _note(self, plan: Plan, right: np.ndarray, margins: np.ndarray) -> None:
        with self._new.open("a") as file:
            file.write(json.dumps([str(plan), right.tolist(), margins.tolist()]) + "\n")

    def cost(self, plan: Plan) -> float:
        return _cost(self.landscape.model, plan)

    def _measure(self, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
        """Return the right answers of a plan, (K,), and the margins of all, (Q,).

        Raises:
            ValueError: the table is of another model or other questions.
        """
        fingerprints = self.examiner.fingerprints
        if self.origin and self.origin["fingerprints"] != fingerprints:
            raise ValueError(
                f"{self._stored} must be of the model at hand, {fingerprints}, got one of "
                f"{self.origin['fingerprints']}: delete it"
            )
        grades = self.examiner.grade(plan)
        return np.bincount(self.asked[grades.right], minlength=len(self.kinds)), grades.margins


@cache
def _kinds_of_questions(landscape: Landscape) -> list[str]:
    """Return the kind of every question."""
    return [sample.kind for sample in load_samples(DataSource(), "search")[: landscape.questions]]


@cache
def _closed_form(model: str) -> tuple[ModelShape, Workload]:
    source = ModelSource(name=model)
    return describe_model(source), describe_workload(source, load_samples(DataSource(), "search"))


@lru_cache(maxsize=65536)
def _cost(model: str, plan: Plan) -> float:
    shape, workload = _closed_form(model)
    return costs(shape, plan, workload).flops_ratio
