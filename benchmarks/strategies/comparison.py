"""Replays one strategy with one budget on one landscape, over seeds, and computes its scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.strategies.compute import compute, ratio_to_reach, signals
from benchmarks.strategies.replay import Replays, Run, regret, share
from benchmarks.truth.table import Table
from workers.software import commit

FLOPS = np.linspace(0.05, 1.0, 77)
"""FLOPs ratios at which attained accuracies are compared."""
TRIAL_SECONDS = 0.55
"""Seconds of a trial of the dense model: 512 questions, one thread of a mostly idle x86-64 machine.

Signals that a strategy reads are added (`benchmarks.strategies.compute.SIGNALS`).
"""
SECONDS = np.linspace(0.0, 60.0, 121)
"""Times at which shares are compared, in seconds."""
RUNGS = ("compute", "eager_share", "eager_compute", "ratio_to_reach", "eager_ratio_to_reach")
"""Additional values of a search on rungs; `eager`: of the same search without stopped trials."""
DIGITS = 5
"""Decimal digits of a share. Shares of a growing table are not rounded, because `settle` scales them again."""


def compare(table: Table, strategy: str, budget: int, seeds: int, **wanted: bool) -> dict[str, Any]:
    """Return the results of one strategy with one budget on one landscape, one number per seed, ready for JSON.

    Args:
        table: the measured plans.
        strategy: its name.
        budget: trials per search.
        seeds: number of searches.
        **wanted: keyword arguments of `search`.
    """
    return gather([search(table, Replays(table, strategy, seed), budget, **wanted) for seed in range(seeds)])


def search(
    table: Table, replays: Replays, budget: int, *, pictured: bool = False, in_full: bool = False
) -> dict[str, Any]:
    """Return the values that `gather` needs from the search of one seed with this budget.

    Rows are not among them, because those of a growing table are valid in one process only.

    Args:
        table: the measured plans.
        replays: the searches of one strategy and seed.
        budget: trials of the search.
        pictured: True to add the curves to draw.
        in_full: True to add, on a table with rungs, the same search with every trial run to its end.
    """
    run = replays.with_budget(budget)
    result: dict[str, Any] = {"commit": commit(), "share": share(table, run.counted()), "seconds": run.seconds}
    if "test" in table.right:
        result["regret"] = round(regret(table, run.counted()), DIGITS)
    if in_full and len(table.landscape.rungs) > 1:
        result |= _against_full_trials(table, run, replays.with_budget(budget, keep_fraction=1.0))
    if pictured:
        result["picture"] = _curves(table, run)
    if table.landscape.grows:
        result["volume"] = table.volume()
    return result


def gather(searches: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the result of a cell from its searches, in the order of the seeds."""
    volumes = [own.get("volume", 1.0) for own in searches]
    factors = [volume / max(volumes) for volume in volumes]
    digits = 15 if "volume" in searches[0] else DIGITS
    result = {
        "commit": searches[0]["commit"],
        "share": [round(own["share"] * factor, digits) for own, factor in zip(searches, factors, strict=True)],
        "milliseconds": round(1e3 * float(np.mean([second for own in searches for second in own["seconds"]])), 2),
    }
    for name in ("regret", *RUNGS):
        if name in searches[0]:
            result[name] = [own[name] for own in searches]
    if "picture" in searches[0]:
        result["picture"] = _quartiles([own["picture"] for own in searches], factors)
    if "volume" in searches[0]:
        result["volume"] = max(volumes)
    return result


def settle(result: dict[str, Any], volume: float) -> None:
    """Rescale the shares of a growing table to its present hypervolume, in place.

    Args:
        result: result of a cell.
        volume: present hypervolume of the table.
    """
    factor, result["volume"] = result["volume"] / volume, volume
    result["share"] = [value * factor for value in result["share"]]
    if picture := result.get("picture"):
        for curves in ("share", "timed"):
            picture[curves] = (np.array(picture[curves]) * factor).tolist()


def _against_full_trials(table: Table, run: Run, eager: Run) -> dict[str, Any]:
    """Return the compute that rungs save: a search compared with the same one with every trial run to its end."""
    ratios = [ratio_to_reach(table, each, eager) for each in (run, eager)]
    values = (
        round(compute(table, run)),
        round(share(table, eager.counted()), DIGITS),
        round(compute(table, eager)),
        *(round(ratio, DIGITS) if np.isfinite(ratio) else None for ratio in ratios),
    )
    return dict(zip(RUNGS, values, strict=True))


def _curves(table: Table, run: Run) -> dict[str, list[float]]:
    """Return the share after every trial and at every time, and the accuracy attained at every FLOPs ratio."""
    shares, rows = _shares(table, run), run.counted()
    within = table.flops_ratio[rows][None] <= FLOPS[:, None] + 1e-9
    trials = TRIAL_SECONDS * (1 + signals(run.strategy, run.went_on_from)) * table.flops_ratio[list(run.rows)]
    ends = np.cumsum(np.array(run.seconds[: len(shares)]) + trials)  # the last proposal may be missing
    timed = np.concatenate([[0.0], shares])[np.searchsorted(ends, SECONDS, side="right")]
    attained = np.where(within, table.accuracy("search", rows)[None], 0.0).max(1)
    return {"share": shares, "timed": timed.tolist(), "attained": attained.tolist()}


def _quartiles(curves: Sequence[Mapping[str, list[float]]], factors: Sequence[float]) -> dict[str, Any]:
    """Return the quartiles over the seeds of every curve."""
    # Shares have the precision of a median of rounded shares, as the two are compared.
    digits = {"share": DIGITS + 2, "timed": 4, "attained": 4}
    found = {}
    for name, own in digits.items():
        scaled = [
            np.array(each[name]) * (1.0 if name == "attained" else f) for each, f in zip(curves, factors, strict=True)
        ]
        found[name] = np.quantile(scaled, (0.25, 0.5, 0.75), axis=0).round(own).tolist()
    return found


def _shares(table: Table, run: Run) -> list[float]:
    """Return the share after every trial."""
    shares = [0.0]
    for trial, full in enumerate(run.full, start=1):
        shares.append(round(share(table, run.counted(trial)), DIGITS) if full else shares[-1])
    return shares[1:]
