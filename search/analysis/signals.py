"""The signals that a search had beside accuracies: those that its strategy reads, and whether workers measured them."""

from collections.abc import Sequence

from search.storage.results import TrialRecord
from search.strategies import signals_of
from search.strategies.strategy import Signal


def signals_had(records: Sequence[TrialRecord], strategy: str) -> dict[str, bool]:
    """Return for every signal that the strategy reads if all trials that should have measured it did.

    Importance is measured with the dense trial alone; margins at the cheapest rung of every trial. Trials without a
    finished rung don't count.
    """
    measured = [record for record in records if record.on("search")]
    had = {}
    for signal in sorted(signals_of(strategy)):
        due = [record for record in measured if signal is not Signal.IMPORTANCE or record.plan.is_dense]
        had[str(signal)] = bool(due) and all(_has(record, signal) for record in due)
    return had


def signals_line(had: dict[str, bool]) -> str | None:
    """Return one line on the signals that were missing, None where there were all."""
    missing = [name for name, there in had.items() if not there]
    if not missing:
        return None
    return f"The search had to do without {' and '.join(missing)}, which the worker could not measure."


def _has(record: TrialRecord, signal: Signal) -> bool:
    return any(rung.metrics.get(signal) is not None for rung in record.on("search"))
