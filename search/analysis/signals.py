"""Finds the signals (margins, importance) that a strategy reads but that workers could not measure."""

from collections.abc import Sequence

from search.storage.results import TrialRecord
from search.strategies import signals_of
from search.strategies.strategy import Signal


def signals_had(records: Sequence[TrialRecord], strategy: str) -> dict[str, bool]:
    """Return, per signal that the strategy reads, True if all trials that should have measured it did.

    Importance is measured by the dense trial only, margins at the cheapest rung of every trial. Trials that did not
    finish it are ignored, and so are those that continue a stopped trial from a later rung.

    Args:
        records: all trials of the run.
        strategy: name of its strategy.
    """
    had = {}
    for signal in sorted(signals_of(strategy)):
        due = [record for record in records if _measures(record, signal)]
        had[str(signal)] = bool(due) and all(_has(record, signal) for record in due)
    return had


def signals_line(had: dict[str, bool]) -> str | None:
    """Return a line for the user about the signals that were not measured; None if all were."""
    missing = [name for name, there in had.items() if not there]
    if not missing:
        return None
    return f"The search had to do without {' and '.join(missing)}, which the worker could not measure."


def _measures(record: TrialRecord, signal: Signal) -> bool:
    first = any(rung.rung == 0 for rung in record.on("search"))
    return first and (signal is not Signal.IMPORTANCE or record.plan.is_dense)


def _has(record: TrialRecord, signal: Signal) -> bool:
    return any(rung.metrics.get(signal) is not None for rung in record.on("search"))
