"""Defines the tables of measured plans that a replay reads, and computes values from them."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks.truth.landscapes import Landscape
from objectives.dominance import non_dominated
from objectives.hypervolume import hypervolume
from objectives.objectives import MAXIMIZE, REFERENCE
from spaces.plan import Plan
from workers.evaluation.margins import nats

Rows = Sequence[int] | np.ndarray | slice
ALL = slice(None)
"""All rows."""


class Table:
    """Plans of a landscape with their results, one row per plan: N plans so far, K kinds of questions.

    `benchmarks.truth.enumerated.Truth` has every plan of its landscape from the start, `benchmarks.truth.grown.Grown`
    the measured ones.
    """

    landscape: Landscape
    right: Mapping[str, np.ndarray]
    """Split -> number of right answers of every plan by kind, after the last rung: (N, K) uint16."""
    questions: Mapping[str, np.ndarray]
    """Split -> number of questions of every kind: (K,)."""
    kinds: tuple[str, ...]
    margins: np.ndarray
    """(N, Q) int8, margins of the right answers to the Q questions of the cheapest rung, in steps."""
    asked: np.ndarray
    """(Q,) kind of each of these questions, as an index of `kinds`."""
    flops_ratio: np.ndarray
    """(N,), relative to the dense model."""
    wins: np.ndarray
    """(D, K, L, 2) gains of gates on attention and FFN of the L searched blocks (`workers.evaluation.importance`).

    They are those of the dense plan at the cheapest rung, summed over the questions of a kind, for each of D seeds.
    """
    origin: Mapping[str, Any]
    index: Mapping[Plan, int]
    """Plan -> row."""

    def row(self, plan: Plan) -> int:
        """Return the row of a plan of the landscape."""
        raise NotImplementedError

    def cost(self, plan: Plan) -> float:
        """Return the FLOPs of a plan relative to the dense model, also for a plan without a row."""
        raise NotImplementedError

    def climb(self, row: int) -> tuple[float, ...]:
        """Return the accuracy of a plan at every rung on the search split."""
        return (float(self.accuracy("search", [row])[0]),)

    def nearest(self, plan: Plan, tried: Collection[Plan]) -> Plan | None:
        """Return the plan that is measured when a strategy proposes one, by default the plan itself.

        Args:
            plan: the proposed plan.
            tried: plans that the search has tried.

        Returns:
            None if no plan is left.
        """
        return plan

    def margins_of(self, row: int) -> tuple[float, ...] | None:
        """Return the margins of the right answers to all questions of the cheapest rung, as `Observation.margins`.

        None where the table has none.
        """
        return tuple(nats(self.margins[row]).tolist())

    def importance(self, seed: int) -> tuple[tuple[float, float], ...] | None:
        """Return the importance of attention and FFN of every searched block.

        It is `Observation.importance` up to a factor; None where the table has none.

        Args:
            seed: the seed of the search, which selects one of the D sets of gates.
        """
        return tuple((float(attention), float(ffn)) for attention, ffn in self.wins[seed % len(self.wins)].sum(0))

    def accuracy(self, split: str, rows: Rows = ALL) -> np.ndarray:
        """Return the share of right answers, (len(rows),), by default of all rows."""
        return self.right[split][rows].sum(1) / self.questions[split].sum()

    def points(self, split: str, rows: Rows = ALL) -> np.ndarray:
        """Return accuracy and FLOPs ratio, (len(rows), 2), by default of all rows."""
        return np.stack([self.accuracy(split, rows), self.flops_ratio[rows]], axis=1)

    def front(self, split: str = "search") -> np.ndarray:
        """Return the rows of the Pareto front, cheapest first."""
        rows = np.flatnonzero(non_dominated(self.points(split), MAXIMIZE))
        return rows[np.argsort(self.flops_ratio[rows], kind="stable")]

    def volume(self, split: str = "search") -> float:
        """Return the hypervolume of the front of all rows."""
        key = (split, len(self.flops_ratio))
        if key not in self._volumes:
            self._volumes[key] = hypervolume(self.points(split), self.reference, MAXIMIZE)
        return self._volumes[key]

    @property
    def reference(self) -> tuple[float, float]:
        """Return the reference point of hypervolumes: accuracy and FLOPs ratio."""
        return self.landscape.min_accuracy, REFERENCE[1]

    def share(self, rows: Sequence[int]) -> float:
        """Return the hypervolume of plans on the search split, relative to that of the front of all rows."""
        if not rows:
            return 0.0
        return hypervolume(self.points("search", list(rows)), self.reference, MAXIMIZE) / self.volume()

    @cached_property
    def _volumes(self) -> dict[tuple[str, int], float]:
        return {}
