"""Tables of every plan of a small space of the embedded model, measured and stored.

`python -m benchmarks.truth` writes `benchmarks/data/*.npz`, one file per landscape, with the counts of right answers on
the search and the test split (untuned, as at the cheapest rung of a search), the FLOPs, and the origin of the numbers.
`benchmarks.truth.tuned` measures landscapes with rungs, with tuning.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.truth.landscapes import LANDSCAPES, Landscape
from benchmarks.truth.table import Table
from objectives.flops import costs
from spaces.plan import Plan

if TYPE_CHECKING:
    from workers.session import Session

DATA = Path(__file__).parents[1] / "data"
"""Folder of the tables."""
SPLITS = ("search", "test")
GATE_SEEDS = 10
"""Number of seeds with which importance is measured; searches with different seeds draw different gates."""


@dataclass(frozen=True)
class Truth(Table):
    """The results of every plan of a landscape. P plans in the order of `Space.enumerate`, K kinds of questions."""

    landscape: Landscape
    right: Mapping[str, np.ndarray]
    questions: Mapping[str, np.ndarray]
    kinds: tuple[str, ...]
    margins: np.ndarray
    asked: np.ndarray
    flops_ratio: np.ndarray
    wins: np.ndarray
    origin: Mapping[str, Any]
    climbed: np.ndarray | None = None
    """(P, R) accuracy at every rung on the search split, if there are several."""

    @classmethod
    def load(cls, name: str, folder: Path = DATA) -> "Truth":
        """Return the stored table of a landscape."""
        with np.load(folder / f"{name}.npz") as stored:
            return cls(
                landscape=LANDSCAPES[name],
                right={split: stored[f"right_{split}"] for split in SPLITS if f"right_{split}" in stored},
                questions={split: stored[f"questions_{split}"] for split in SPLITS if f"right_{split}" in stored},
                kinds=tuple(stored["kinds"].tolist()),
                margins=stored["margins"],
                asked=stored["asked"],
                flops_ratio=stored["flops_ratio"],
                wins=stored["wins"],
                origin=json.loads(str(stored["origin"])),
                climbed=stored.get("climbed"),
            )

    def save(self, folder: Path = DATA) -> Path:
        """Write the table and return its file."""
        file = folder / f"{self.landscape.name}.npz"
        np.savez_compressed(
            file,
            **{f"right_{split}": right for split, right in self.right.items()},
            **{f"questions_{split}": count for split, count in self.questions.items()},
            **({} if self.climbed is None else {"climbed": self.climbed}),
            kinds=np.array(self.kinds),
            # Question by question: margins of similar plans are similar, and the file is 25 % smaller.
            margins=np.asfortranarray(self.margins),
            asked=self.asked,
            flops_ratio=self.flops_ratio,
            wins=self.wins,
            origin=np.array(json.dumps(self.origin)),
        )
        return file

    def only(self, kinds: tuple[str, ...]) -> "Truth":
        """Return the landscape of another task: the questions of these kinds only."""
        chosen = [self.kinds.index(kind) for kind in kinds]
        right = {split: right[:, chosen] for split, right in self.right.items()}
        questions = {split: count[chosen] for split, count in self.questions.items()}
        own = np.isin(self.asked, chosen)
        asked = np.array([chosen.index(kind) for kind in self.asked[own]])
        margins, wins = self.margins[:, own], self.wins[:, chosen]
        return Truth(self.landscape, right, questions, kinds, margins, asked, self.flops_ratio, wins, self.origin)

    @cached_property
    def plans(self) -> list[Plan]:
        """Return every plan, as a strategy reads it."""
        return list(self.landscape.searched.enumerate())

    @cached_property
    def index(self) -> dict[Plan, int]:
        """Return plan -> row."""
        return {plan: row for row, plan in enumerate(self.plans)}

    @property
    def rungs(self) -> np.ndarray:
        """Return the accuracy at every rung on the search split, (P, R)."""
        return self.accuracy("search")[:, None] if self.climbed is None else self.climbed

    def row(self, plan: Plan) -> int:
        return self.index[plan]

    def cost(self, plan: Plan) -> float:
        return float(self.flops_ratio[self.index[plan]])

    def climb(self, row: int) -> tuple[float, ...]:
        return super().climb(row) if self.climbed is None else tuple(map(float, self.climbed[row]))


@dataclass(frozen=True)
class Counted:
    """The measurements of all plans on one split. P plans, K kinds of Q questions."""

    kinds: tuple[str, ...]
    right: np.ndarray
    """(P, K) uint16, number of right answers."""
    margins: np.ndarray
    """(P, Q) int8, in steps."""
    questions: np.ndarray
    """(K,) number of questions."""
    asked: np.ndarray
    """(Q,) kind of every question."""


def measure(landscape: Landscape) -> Truth:
    """Return the table of a landscape, with every plan measured on the embedded model."""
    from workers.requests import TrialRequest
    from workers.session import Session
    from workers.sources import DataSource, ModelSource

    session = Session(ModelSource(name=landscape.model), DataSource())
    dense = Plan.dense(session.shape.num_blocks)
    workload = session.workload(TrialRequest(plan=dense))
    plans = [landscape.whole(plan, len(dense)) for plan in landscape.searched.enumerate()]
    counted = {split: count(session, landscape, split, landscape.questions) for split in SPLITS}
    return Truth(
        landscape,
        right={split: own.right for split, own in counted.items()},
        questions={split: own.questions for split, own in counted.items()},
        kinds=counted["search"].kinds,
        margins=counted["search"].margins,
        asked=counted["search"].asked,
        flops_ratio=np.array([costs(session.shape, plan, workload).flops_ratio for plan in plans]),
        wins=wins_of(session, landscape),
        origin=origin_of(session, landscape.questions),
    )


def count(session: "Session", landscape: Landscape, split: str, questions: int) -> Counted:
    """Return the untuned results of every plan of a landscape on the first questions of a split."""
    from benchmarks.truth.prefix_tree import score_all

    prepared, loaded = session.split(split), session.loaded
    dense = landscape.whole(Plan.dense(len(landscape.blocks)), session.shape.num_blocks)
    choices = [(op, *(landscape.ops if block in landscape.blocks else ())) for block, op in enumerate(dense.ops)]
    grades = score_all(loaded, prepared, questions, choices, lambda number: print(split, number, flush=True))
    asked = prepared.samples[:questions]
    kinds = tuple(dict.fromkeys(sample.kind for sample in asked))
    of_kind = np.array([[sample.kind == name for name in kinds] for sample in asked])
    return Counted(
        kinds=kinds,
        right=(grades.right.astype(np.int32) @ of_kind).astype(np.uint16),
        margins=grades.margins,
        questions=of_kind.sum(0),
        asked=of_kind.argmax(1),
    )


def wins_of(session: "Session", landscape: Landscape) -> np.ndarray:
    """Return (D, K, L, 2) as `Table.wins`, for the plan that a strategy regards as dense."""
    from workers.apply_plan import apply_plan
    from workers.evaluation.importance import gate_wins

    prepared = session.split("search")
    samples = prepared.samples[: landscape.rungs[0].questions or landscape.questions]
    kinds = tuple(dict.fromkeys(sample.kind for sample in prepared.samples[: landscape.questions]))
    dense = landscape.whole(Plan.dense(len(landscape.blocks)), session.shape.num_blocks)
    with apply_plan(session.loaded.model, dense):
        wins = [gate_wins(session.loaded, prepared, len(samples), seed).numpy() for seed in range(GATE_SEEDS)]
    of_kind = np.array([[sample.kind == name for sample in samples] for name in kinds])
    return np.einsum("dlhq,kq->dklh", np.stack(wins)[:, list(landscape.blocks)], of_kind)


def origin_of(session: "Session", questions: int) -> dict[str, Any]:
    """Return the origin to store with a table that was measured untuned."""
    from workers.origin import name_of
    from workers.software import commit, versions

    return {
        "commit": commit(),
        "versions": versions(),
        "device": name_of(session.loaded.device),
        "fingerprints": dict(session.fingerprints),
        "questions": questions,
        "seed": "none: nothing is drawn",
        "fidelity": "no tuning, dense mapping module",
    }
