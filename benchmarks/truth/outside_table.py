"""A table from outside the repository, for `python -m benchmarks.strategies --table FILE.npz`.

The file is a NumPy archive; N plans, R rungs, Q questions, L blocks:

| entry | shape, type | |
|---|---|---|
| `plans` | (N,) text | as `Plan.parse` reads it; the plan that changes nothing must be among them |
| `scores` | (N, R) or (N,) float | accuracy at every rung, cheapest first, from 0 to 1; NaN at rungs without a result |
| `costs` | (N,) float | FLOPs relative to the dense model, above 0 |
| `margins` | (N, Q) float, optional | of the right answers at the cheapest rung, in nats (`evaluation.margins`) |
| `importance` | (L, 2) float, optional | of attention and FFN of every block (`workers.evaluation.importance`) |
| `min_accuracy` | float, optional | as `--min-accuracy` of a search; shares count what lies above |

Blocks that are the same in all plans are not searched. If the file has every plan of the space of the others, it is
replayed like the tables of the repository. Otherwise a proposal is replaced by the stored plan that was not tried and
differs in the fewest blocks, and the strategy reads that plan as its proposal.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.truth.landscapes import Landscape
from benchmarks.truth.table import ALL, Rows, Table
from search.strategies.plan_bits import Coding
from spaces.plan import Plan, PlanError
from spaces.product import ProductSpace, choices_of, plan_of
from workers.requests import Rung

REQUIRED, OPTIONAL = ("plans", "scores", "costs"), ("margins", "importance", "min_accuracy")


class Given(Table):
    """The plans of a file."""

    kinds = ("given",)
    right: Mapping[str, np.ndarray] = {}

    def __init__(self, name: str, entries: Mapping[str, NDArray[Any]]) -> None:
        """Check the entries of a file.

        Args:
            name: name of the table in error texts.
            entries: entry -> array, as described above.

        Raises:
            ValueError: an entry is not as described above.
        """
        _check_entries(name, entries)
        whole = [_parse(name, text) for text in entries["plans"].tolist()]
        scores = np.asarray(entries["scores"], dtype=float).reshape(len(whole), -1)
        searched, plans = _searched(name, whole)
        self.scores, self.flops_ratio = scores, np.asarray(entries["costs"], dtype=float)
        self._margins, self._wins = entries.get("margins"), entries.get("importance")
        self._blocks = searched
        self.plans = plans
        self.index = {plan: row for row, plan in enumerate(plans)}
        _check(len(self.index) == len(plans), name, "plans", f"must differ, got {len(plans) - len(self.index)} twice")
        _check(Plan.dense(len(searched)) in self.index, name, "plans", "must have one that keeps every searched block")
        levels = tuple(dict.fromkeys(level for plan in plans for level in choices_of(plan) if not level.is_kept))
        self._space = ProductSpace("given", len(searched), levels)
        self.landscape = Landscape(
            name,
            "given",
            (),
            tuple(searched),
            0,
            rungs=(Rung(),) * scores.shape[1],
            listed=self._space,
            min_accuracy=float(entries.get("min_accuracy", 0.0)),
        )
        self.complete = self._space.size == len(plans)
        self.coding = Coding(self._space)
        self._codes = self.coding.encode(plans)

    @classmethod
    def load(cls, file: Path) -> "Given":
        """Return the table of a file.

        Raises:
            OSError: the file can't be read.
            ValueError: an entry is not as described above.
        """
        with np.load(file) as stored:
            return cls(str(file), {name: stored[name] for name in stored.files})

    @property
    def origin(self) -> Mapping[str, Any]:
        return {"file": self.landscape.name}

    def row(self, plan: Plan) -> int:
        return self.index[plan]

    def nearest(self, plan: Plan, tried: Collection[Plan]) -> Plan | None:
        """Return the plan itself if it is stored, else the nearest one that was not tried, None if there is none."""
        if plan in self.index:
            return plan
        far = (self._codes != self.coding.encode([plan])).sum(1)
        order = np.argsort(far, kind="stable")
        return next((self.plans[row] for row in order if self.plans[row] not in tried), None)

    def cost(self, plan: Plan) -> float:
        if plan in self.index:
            return float(self.flops_ratio[self.index[plan]])
        dense, saved = self._prices
        return float(dense + self._indicators(self.coding.encode([plan]))[0] @ saved)

    @cached_property
    def _prices(self) -> tuple[float, NDArray[np.float64]]:
        """Return the FLOPs of the dense plan and the change by every level, a least-squares fit to the stored plans."""
        dense = self.cost(Plan.dense(self._space.num_blocks))
        rows = self._indicators(self._codes)
        return dense, np.linalg.lstsq(rows, self.flops_ratio - dense, rcond=None)[0]

    def _indicators(self, codes: NDArray[Any]) -> NDArray[np.float64]:
        """Return (N, levels of all blocks) zeros and ones."""
        columns = [codes == place for place in range(1, int(self.coding.counts.max()))]
        return np.concatenate(columns, axis=1).astype(float)

    def climb(self, row: int) -> tuple[float, ...]:
        known = self.scores[row][np.isfinite(self.scores[row])]
        return tuple(map(float, known))

    def margins_of(self, row: int) -> tuple[float, ...] | None:
        return None if self._margins is None else tuple(map(float, self._margins[row]))

    def importance(self, seed: int) -> tuple[tuple[float, float], ...] | None:
        if self._wins is None:
            return None
        return tuple((float(self._wins[block, 0]), float(self._wins[block, 1])) for block in self._blocks)

    def accuracy(self, split: str, rows: Rows = ALL) -> np.ndarray:
        """Return the score at the last rung, 0 where a plan has none there."""
        return np.nan_to_num(self.scores[rows][:, -1])


def _searched(name: str, whole: Sequence[Plan]) -> tuple[list[int], list[Plan]]:
    """Return the blocks that are not the same in all plans, and the plans of these alone."""
    choices = [choices_of(plan) for plan in whole]
    _check(len({len(own) for own in choices}) == 1, name, "plans", "must have one number of blocks")
    searched = [block for block, levels in enumerate(zip(*choices, strict=True)) if len(set(levels)) > 1]
    _check(bool(searched), name, "plans", "must differ in a block")
    return searched, [plan_of([own[block] for block in searched]) for own in choices]


def _parse(name: str, text: str) -> Plan:
    try:
        return Plan.parse(text)
    except PlanError as error:
        raise ValueError(f"'plans' of {name} must be the text of plans: {error}") from None


def _check_entries(name: str, entries: Mapping[str, NDArray[Any]]) -> None:
    known = (*REQUIRED, *OPTIONAL)
    for entry in REQUIRED:
        _check(entry in entries, name, entry, f"must be there, got {', '.join(entries)}")
    for entry in entries:
        _check(entry in known, name, entry, f"must be one of {', '.join(known)}")
    plans, scores, costs = (entries[entry] for entry in REQUIRED)
    for entry in ("scores", "costs", "margins"):
        if entry in entries:
            rows = len(entries[entry]) if entries[entry].ndim else 0
            _check(rows == len(plans), name, entry, f"must have a row per plan, {len(plans)}, got {rows}")
    first = scores if scores.ndim == 1 else scores[:, 0]
    _check(bool(np.isfinite(first).all()), name, "scores", "must be finite at the first rung")
    inside = np.isnan(scores) | ((scores >= 0) & (scores <= 1))
    _check(bool(inside.all()), name, "scores", f"must be from 0 to 1, got {scores[~inside][:1]}")
    _check(bool((costs > 0).all()), name, "costs", f"must be above 0, got {costs.min()}")
    for entry in ("margins", "importance"):
        if entry in entries:
            _check(bool(np.isfinite(entries[entry]).all()), name, entry, "must be finite")


def _check(holds: bool, name: str, entry: str, rule: str) -> None:
    if not holds:
        raise ValueError(f"'{entry}' of {name} {rule}")
