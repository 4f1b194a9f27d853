"""One strategy with one budget on one landscape: searches replayed over seeds, and scored."""

from typing import Any

import numpy as np

from benchmarks.compute import compute, ratio_to_reach
from benchmarks.replay import Run, regret, replay, share
from benchmarks.table import Table
from workers.software import commit

FLOPS = np.linspace(0.05, 1.0, 77)
"""Where attained accuracies are compared."""
TRIAL_SECONDS = 0.55
"""What a trial of the dense model takes: 512 questions, one thread of an x86-64 machine that did little else."""
SECONDS = np.linspace(0.0, 60.0, 121)
"""Where shares are compared by time."""
DIGITS = 5
"""Of a share. Those of a table that grows keep all of theirs, for they are scaled again (`settle`)."""


def compare(table: Table, strategy: str, budget: int, seeds: int, pictured: bool = False) -> dict[str, Any]:
    """Results of one strategy with one budget on one landscape, a number a seed; ready for JSON.

    Args:
        pictured: with the curves that are drawn.
    """
    runs = [replay(table, strategy, budget, seed) for seed in range(seeds)]
    digits = 15 if table.landscape.grows else DIGITS
    result = {
        "commit": commit(),
        "share": [round(share(table, run.counted()), digits) for run in runs],
        "milliseconds": round(1e3 * float(np.mean([second for run in runs for second in run.seconds])), 2),
    }
    if "test" in table.right:
        result["regret"] = [round(regret(table, run.counted()), DIGITS) for run in runs]
    if len(table.landscape.rungs) > 1:
        result |= _against_full_trials(table, runs)
    if pictured:
        result["picture"] = _picture(table, runs)
    if table.landscape.grows:
        result["volume"] = table.volume()
    return result


def settle(result: dict[str, Any], volume: float) -> None:
    """Makes the shares of a table that has grown since shares of the hypervolume it has now."""
    factor, result["volume"] = result["volume"] / volume, volume
    result["share"] = [value * factor for value in result["share"]]
    if picture := result.get("picture"):
        for curves in ("share", "timed"):
            picture[curves] = (np.array(picture[curves]) * factor).tolist()


def _against_full_trials(table: Table, runs: list[Run]) -> dict[str, Any]:
    """The same searches with every trial run to its end: what rungs save."""
    eager = [replay(table, run.strategy, run.budget, run.seed, keep_fraction=1.0) for run in runs]
    ratios = [ratio_to_reach(table, run, full) for run, full in zip(runs, eager, strict=True)]
    return {
        "compute": [round(compute(table, run)) for run in runs],
        "eager_share": [round(share(table, run.counted()), DIGITS) for run in eager],
        "eager_compute": [round(compute(table, run)) for run in eager],
        "ratio_to_reach": [round(ratio, DIGITS) if np.isfinite(ratio) else None for ratio in ratios],
    }


def _picture(table: Table, runs: list[Run]) -> dict[str, Any]:
    """Quartiles over the seeds of the share after every trial and after so many seconds, and of the accuracy attained
    at every ratio."""
    shares = [_shares(table, run) for run in runs]
    attained, timed = [], []
    for run, own in zip(runs, shares, strict=True):
        rows = run.counted()
        within = table.flops_ratio[rows][None] <= FLOPS[:, None] + 1e-9
        attained.append(np.where(within, table.accuracy("search", rows)[None], 0.0).max(1))
        ends = np.cumsum(np.array(run.seconds[: len(own)]) + TRIAL_SECONDS * table.flops_ratio[list(run.rows)])
        timed.append(np.concatenate([[0.0], own])[np.searchsorted(ends, SECONDS, side="right")])
    quartiles = (0.25, 0.5, 0.75)
    return {
        # As exact as a median of rounded shares: one is compared with the other.
        "share": np.quantile(shares, quartiles, axis=0).round(DIGITS + 2).tolist(),
        "timed": np.quantile(timed, quartiles, axis=0).round(4).tolist(),
        "attained": np.quantile(attained, quartiles, axis=0).round(4).tolist(),
    }


def _shares(table: Table, run: Run) -> list[float]:
    """The share after every trial."""
    shares = [0.0]
    for trial, full in enumerate(run.full, start=1):
        shares.append(round(share(table, run.counted(trial)), DIGITS) if full else shares[-1])
    return shares[1:]
