"""What a replay needs of measured plans, and what follows from their numbers."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks.truth.landscapes import Landscape
from objectives.hypervolume import hypervolume
from objectives.objectives import MAXIMIZE, REFERENCE
from objectives.pareto import non_dominated
from spaces.plan import Plan
from workers.evaluation.margins import nats

Rows = Sequence[int] | np.ndarray | slice
ALL = slice(None)


class Table:
    """Plans of a landscape with what they reach, a row each: N plans up to now, K kinds of questions.

    `benchmarks.truth.enumerated.Truth` has every plan of its landscape from the start,
    `benchmarks.truth.grown.Grown` those that were measured.
    """

    landscape: Landscape
    right: Mapping[str, np.ndarray]
    """Per split the right answers of every plan by kind, after the last rung: (N, K) uint16."""
    questions: Mapping[str, np.ndarray]
    """Per split the number of questions of every kind: (K,)."""
    kinds: tuple[str, ...]
    margins: np.ndarray
    """(N, Q) int8, margins of the right answers to the Q questions of the cheapest rung, in steps."""
    asked: np.ndarray
    """(Q,) the kind of each of these questions, as its place among `kinds`."""
    flops_ratio: np.ndarray
    """(N,)."""
    wins: np.ndarray
    """(D, K, L, 2) what gates on attention and FFN of the L blocks searched win, of the dense plan at the cheapest rung
    (`workers.evaluation.importance`), summed over the questions of a kind, for each of D seeds of the gates."""
    origin: Mapping[str, Any]

    def row(self, plan: Plan) -> int:
        """Where a plan of the landscape stands."""
        raise NotImplementedError

    def cost(self, plan: Plan) -> float:
        """FLOPs of a plan over those of the dense model, whether it has a row or not."""
        raise NotImplementedError

    def climb(self, row: int) -> tuple[float, ...]:
        """Accuracy of a plan at every rung on the search split."""
        return (float(self.accuracy("search", [row])[0]),)

    def margins_of(self, row: int) -> tuple[float, ...]:
        """Of the right answers to all questions of the cheapest rung, as `Observation.margins`."""
        return tuple(nats(self.margins[row]).tolist())

    def importance(self, seed: int) -> tuple[tuple[float, float], ...]:
        """Of attention and FFN of every block searched, as `Observation.importance` up to a factor, for a search of
        this seed: there are as many sets of gates as the comparison has seeds."""
        return tuple((float(attention), float(ffn)) for attention, ffn in self.wins[seed % len(self.wins)].sum(0))

    def accuracy(self, split: str, rows: Rows = ALL) -> np.ndarray:
        """(len(rows),) share of right answers; of all rows by default."""
        return self.right[split][rows].sum(1) / self.questions[split].sum()

    def points(self, split: str, rows: Rows = ALL) -> np.ndarray:
        """(len(rows), 2) accuracy and FLOPs ratio; of all rows by default."""
        return np.stack([self.accuracy(split, rows), self.flops_ratio[rows]], axis=1)

    def front(self, split: str = "search") -> np.ndarray:
        """Rows of the Pareto front, cheapest first."""
        rows = np.flatnonzero(non_dominated(self.points(split), MAXIMIZE))
        return rows[np.argsort(self.flops_ratio[rows], kind="stable")]

    def volume(self, split: str = "search") -> float:
        """Hypervolume of the front of all rows."""
        key = (split, len(self.flops_ratio))
        if key not in self._volumes:
            self._volumes[key] = hypervolume(self.points(split), REFERENCE, MAXIMIZE)
        return self._volumes[key]

    @cached_property
    def _volumes(self) -> dict[tuple[str, int], float]:
        return {}
