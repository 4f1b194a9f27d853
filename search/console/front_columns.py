"""The columns of the table of the front, and the orders of its rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from search.analysis.latency_notes import speedup
from search.console.aligned import Column

Trial = dict[str, Any]
"""A trial as `search.analysis.summary.describe_trial` returns it."""
ACCURACY = "accuracy [95 %]"
"""Heading of the column in which the row of the floor has a value."""


@dataclass(frozen=True)
class FrontColumn:
    """A column of the table."""

    column: Column
    cell: Callable[[Trial], str]
    wide_only: bool = False
    """True for a column that only wide terminals show."""
    timed_only: bool = False
    """True for a column that only searches by latency have."""


def _accuracy(trial: Trial) -> str:
    """Return the accuracy on the test split with its interval, or that on the search split if not tested."""
    if not (test := trial["test"]):
        return f"{trial['accuracy']:.3f} (search)"
    low, high = test["interval"]
    return f"{test['accuracy']:.3f} [{low:.3f}, {high:.3f}]"


def _spread(trial: Trial) -> str:
    spread = (trial["test"] or {}).get("seed_spread")
    return "" if spread is None else f"±{spread:.3f}"


def _retention(trial: Trial) -> str:
    return "" if trial["retention"] is None else f"{trial['retention']:.1%}"


def _difference(trial: Trial) -> str:
    test = trial["test"]
    if not test or "difference_to_dense" not in test or set(trial["plan"]) == {"."}:
        return ""
    low, high = test["difference_interval"]
    return f"{test['difference_to_dense']:+.3f} [{low:+.3f}, {high:+.3f}]"


def _latency(trial: Trial, step: str) -> str:
    seconds = ((trial["test"] or {}).get("latency") or {}).get(f"{step}_median")
    return "" if seconds is None else f"{seconds * 1e3:.3g} ms"


def speedup_text(trial: Trial) -> str:
    """Return the measured speed-up over the dense model with its quartiles."""
    found = speedup(trial)
    return "" if found is None else f"{found[0]:.2f} [{found[1]:.2f}, {found[2]:.2f}]"


def predicted_text(trial: Trial) -> str:
    """Return the predicted latency of the workload, at the speed of the test if it was timed there; empty without."""
    found = trial["predicted"]
    return f"{(found['beside_dense'] or found['total']) * 1e3:.3g} ms" if found else ""


def measured_text(trial: Trial) -> str:
    """Return the measured latency of the workload with its spread; empty unless there is a prediction of it."""
    measured = (trial["test"] or {}).get("latency") or {}
    if not trial["predicted"] or "total_median" not in measured:
        return ""
    return f"{measured['total_median'] * 1e3:.3g} ±{measured['total_iqr'] * 500:.1g} ms"


def in_units(value: float, units: Sequence[str]) -> str:
    """Return a number as text with three digits, in the largest unit in which it is at least 1.

    Args:
        value: the number, in the first unit.
        units: units in ascending order, each 1,000 times the previous one.

    Raises:
        ValueError: there are no units.
    """
    for place, unit in enumerate(units):
        if value < 999.5 or place == len(units) - 1:
            return f"{value:.3g} {unit}".rstrip()
        value /= 1000
    raise ValueError("there must be at least one unit, got none")


FLOPS_UNITS = ("FLOPs", "kFLOPs", "MFLOPs", "GFLOPs", "TFLOPs")
BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")

COLUMNS = (
    FrontColumn(Column("on search"), lambda trial: f"{trial['accuracy']:.3f}", wide_only=True),
    FrontColumn(Column(ACCURACY), _accuracy),
    FrontColumn(Column("± seeds"), _spread, wide_only=True),
    FrontColumn(Column("of dense"), _retention),
    FrontColumn(Column("difference [95 %]"), _difference, wide_only=True),
    FrontColumn(Column("FLOPs"), lambda trial: f"{trial['flops_ratio']:.1%}"),
    FrontColumn(Column("per question"), lambda trial: in_units(trial["flops"], FLOPS_UNITS), wide_only=True),
    FrontColumn(Column("predicted"), predicted_text, timed_only=True),
    FrontColumn(Column("measured"), measured_text, timed_only=True),
    FrontColumn(Column("speed-up"), speedup_text, wide_only=True),
    FrontColumn(Column("prefill"), lambda trial: _latency(trial, "prefill")),
    FrontColumn(Column("per token"), lambda trial: _latency(trial, "decode"), wide_only=True),
    FrontColumn(Column("weights"), lambda trial: in_units(trial["parameter_bytes"], BYTE_UNITS)),
    FrontColumn(Column("found by", "left"), lambda trial: trial["origin"], wide_only=True),
)
"""Columns after number and plan, from left to right."""


def route_columns(trials: Sequence[Trial]) -> list[FrontColumn]:
    """Return a column for every route by which one of the trials costs other than the front says.

    Args:
        trials: the rows of the table.
    """
    names = dict.fromkeys(name for trial in trials for name in trial.get("routes") or {})
    return [
        FrontColumn(Column(f"as {name}"), lambda trial, name=name: _on_route(trial, name))  # type: ignore[misc]
        for name in names
        if any(_on_route(trial, name) not in ("", f"{trial['flops_ratio']:.1%}") for trial in trials)
    ]


def _on_route(trial: Trial, name: str) -> str:
    ratio = (trial.get("routes") or {}).get(name)
    return "" if ratio is None else f"{ratio:.1%}"


def _prefill(trial: Trial) -> float:
    latency = (trial["test"] or {}).get("latency")
    return latency["prefill_median"] if latency else float("inf")


SORTS: dict[str, Callable[[Trial], float]] = {
    "flops": lambda trial: trial["flops_ratio"],
    "accuracy": lambda trial: -(trial["test"]["accuracy"] if trial["test"] else trial["accuracy"]),
    "latency": _prefill,
    "weights": lambda trial: trial["parameter_bytes"],
    "trial": lambda trial: trial["number"],
}
"""Orders of the rows by name, best first."""
