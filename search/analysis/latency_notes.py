"""Compares predicted with measured latencies of the front; names plans whose FLOPs fall while their time does not."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

TOLERANCE = 0.1
"""Relative error of a prediction from which on it is named."""
DISTURBED = 0.1
"""Relative difference of the dense model's times beside itself from which on the machine was busy."""
FEWER_FLOPS = 0.95
"""FLOPs ratio below which a plan is expected to be faster."""


def speedup(trial: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """Return the measured speed-up over the dense model as median and quartiles (low, high), or None.

    Args:
        trial: a trial as `search.analysis.summary.describe_trial` returns it.
    """
    measured = _measured(trial)
    if "speedup_median" not in measured:
        return None
    return measured["speedup_median"], measured["speedup_low"], measured["speedup_high"]


def latency_notes(trials: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return lines for the user on the measured latencies of the front; empty if nothing was measured.

    Args:
        trials: the trials of the front.
    """
    changed = [trial for trial in trials if set(trial["plan"]) != {"."}]
    dense = [trial for trial in trials if trial not in changed]
    return [*_against_predicted(changed), *_slow(changed), *_disturbed(dense)]


def _against_predicted(trials: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    timed = [trial for trial in trials if trial["predicted"] and trial["predicted"]["beside_dense"]]
    if not timed:
        return
    errors, of_table = (
        {each["number"]: each["predicted"][name] / _measured(each)["total_median"] - 1 for each in timed}
        for name in ("beside_dense", "total")
    )
    off = [f"trial {number} {error:+.0%}" for number, error in errors.items() if abs(error) > TOLERANCE]
    yield (
        f"Predicted latencies differ from measured ones by {_middle(errors.values()):.1%} "
        f"(median of {len(timed)} plans)" + (f"; by more than {TOLERANCE:.0%}: {', '.join(off)}" if off else "")
    )
    if _middle(of_table.values()) > max(TOLERANCE, _middle(errors.values())):
        yield (
            "The machine was busier or idler than when its times were measured: by those, latencies would differ by "
            f"{_middle(of_table.values()):.1%}, and so do limits on them"
        )


def _middle(errors: Iterable[float]) -> float:
    return median(abs(error) for error in errors)


def _slow(trials: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for trial in trials:
        found = speedup(trial)
        if found is not None and trial["flops_ratio"] < FEWER_FLOPS and found[1] <= 1.0:
            middle, low, high = found
            yield (
                f"Trial {trial['number']} runs {trial['flops_ratio']:.1%} of the dense FLOPs, but it is not clear that "
                f"its time falls: {middle:.2f} x [{low:.2f}, {high:.2f}]"
            )


def _disturbed(dense: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for trial in dense:
        found = speedup(trial)
        if found is not None and (abs(found[0] - 1) > DISTURBED or found[2] / found[1] > 1 + 2 * DISTURBED):
            yield (
                "The machine was busy while plans were timed: the dense model beside itself took "
                f"{found[0]:.2f} x [{found[1]:.2f}, {found[2]:.2f}]. Compare the speed-ups, which are from alternating "
                "turns, rather than the milliseconds"
            )


def _measured(trial: Mapping[str, Any]) -> Mapping[str, float]:
    return (trial["test"] or {}).get("latency") or {}
