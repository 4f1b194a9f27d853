"""Numbers of a trial as text with their units."""

from typing import Any

from search.console.front_columns import BYTE_UNITS, FLOPS_UNITS, in_units

Trial = dict[str, Any]
"""A trial as `search.analysis.summary.describe_trial` returns it."""


def points(difference: float) -> str:
    """Return a difference of accuracies in points, hundredths of the scale from 0 to 1."""
    return f"{100 * difference:+.1f}"


def accuracy(trial: Trial) -> str:
    """Return the accuracy on test with its interval, or on the search split where the trial is not tested."""
    if not (test := trial["test"]):
        return f"{trial['accuracy']:.3f} (search split)"
    low, high = test["interval"]
    return f"{test['accuracy']:.3f} [{low:.3f}, {high:.3f}]"


def difference(trial: Trial) -> str:
    """Return the difference to the dense model on test in points, with its interval; empty without one."""
    test = trial["test"] or {}
    if "difference_to_dense" not in test:
        return ""
    low, high = test["difference_interval"]
    return f"{points(test['difference_to_dense'])} points [{points(low)}, {points(high)}]"


def flops(trial: Trial) -> str:
    """Return the FLOPs per question."""
    return in_units(trial["flops"], FLOPS_UNITS)


def weights(trial: Trial) -> str:
    """Return the bytes of the remaining parameters of the decoder."""
    return in_units(trial["parameter_bytes"], BYTE_UNITS)


def latency(trial: Trial, step: str) -> float | None:
    """Return the median latency of a step in milliseconds, or None if it was not measured.

    Args:
        trial: the trial.
        step: `prefill` or `decode`.
    """
    measured = (trial["test"] or {}).get("latency") or {}
    seconds = measured.get(f"{step}_median")
    return None if seconds is None else 1e3 * seconds


def milliseconds(value: float | None) -> str:
    """Return a latency with its unit; empty for None."""
    return "" if value is None else f"{value:.3g} ms"


def duration(seconds: float) -> str:
    """Return a duration in the largest fitting unit."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
