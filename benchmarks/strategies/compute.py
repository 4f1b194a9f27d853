"""Computes the compute of the trials of a replayed search, in total and up to a given share."""

from collections.abc import Sequence

import numpy as np

from benchmarks.strategies.replay import Run, share
from benchmarks.truth.table import Table
from search.strategies import signals_of
from search.strategies.strategy import Signal
from workers.requests import Rung, TuningRecipe

BACKWARD = 3
"""Cost of a tuning step in forward passes: a backward pass costs about two."""
SIGNALS = {Signal.MARGINS: 1, Signal.IMPORTANCE: 20}
"""Compute of a signal; the unit is an evaluation of the questions on which it is measured.

Measured on the embedded model: 0.6 for margins and 4.9 for each of four draws of the gates. An evaluation packs the
questions about an image, which is not possible with gates per question.
"""
TUNE_QUESTIONS = 256
"""Number of questions of the tune split, answered before tuning and after every tuned rung."""
WITHIN = 0.01
"""Difference of shares up to which two fronts count as equal."""


def work(rungs: Sequence[Rung]) -> np.ndarray:
    """Return the compute of each rung without signals, (R,), in questions answered by the same plan.

    A tuning step counts as `BACKWARD` forward passes. For a trial that continues a stopped one, pass its remaining
    rungs, because it tunes from step 0.

    Raises:
        ValueError: a rung has no number of questions.
    """
    recipe = TuningRecipe()
    done, costs_of = 0, []
    for rung in rungs:
        if rung.questions is None:
            raise ValueError(f"the rungs of a table must have a number of questions, got {rung}")
        steps = rung.tuning_steps - done
        tuned = BACKWARD * steps * recipe.images_per_step * recipe.questions_per_image
        checks = TUNE_QUESTIONS * ((steps > 0) + (steps > 0 and done == 0))
        costs_of.append(rung.questions + tuned + checks)
        done = rung.tuning_steps
    return np.array(costs_of, dtype=float)


def spent(
    strategy: str,
    rungs: Sequence[Rung],
    went_on_from: Sequence[int],
    reached: Sequence[int],
    flops: np.ndarray,
) -> np.ndarray:
    """Return the compute of every trial of a search, (trials,), in questions answered by the dense plan.

    Args:
        strategy: its name; the signals it reads are counted.
        rungs: the rungs of the search.
        went_on_from: (trials,) number of rungs that another trial had finished and this one continued.
        reached: (trials,) number of rungs finished in the end.
        flops: (trials,) FLOPs of the plans, relative to the dense one.
    """
    per_rung = {
        (first, last): work(rungs[first:last]).sum() for first, last in set(zip(went_on_from, reached, strict=True))
    }
    units = np.array([per_rung[trial] for trial in zip(went_on_from, reached, strict=True)])
    return (units + signals(strategy, went_on_from) * (rungs[0].questions or 0)) * flops


def signals(strategy: str, went_on_from: Sequence[int]) -> np.ndarray:
    """Return the compute of a strategy's signals, (trials,); the unit is an evaluation of the first rung's questions.

    Importance is measured in the first trial only, which is dense.
    """
    reads, extra = signals_of(strategy), np.zeros(len(went_on_from))
    if Signal.MARGINS in reads:
        extra[np.array(went_on_from) == 0] += SIGNALS[Signal.MARGINS]
    if Signal.IMPORTANCE in reads:
        extra[0] += SIGNALS[Signal.IMPORTANCE]
    return extra


def computes(table: Table, run: Run) -> np.ndarray:
    """Return the compute of every trial of a run, (trials,), in questions answered by the dense plan."""
    flops = table.flops_ratio[list(run.rows)] / table.flops_ratio.max()
    return spent(run.strategy, table.landscape.rungs, run.went_on_from, run.reached, flops)


def compute(table: Table, run: Run) -> float:
    """Return the compute of all trials of a run, in questions answered by the dense plan."""
    return float(computes(table, run).sum())


def compute_to_reach(table: Table, run: Run, wanted: float) -> float:
    """Return the compute up to the first trial with at least the wanted share; infinity if none has it."""
    spent = np.cumsum(computes(table, run))
    for trial, full in enumerate(run.full):
        if full and share(table, run.counted(trial + 1)) >= wanted - 1e-9:
            return float(spent[trial])
    return float("inf")


def ratio_to_reach(table: Table, rungs: Run, full: Run) -> float:
    """Return the compute at which a run on rungs first has the share of a run without stopped trials, less `WITHIN`.

    It is relative to the compute of the latter.
    """
    wanted = share(table, full.counted()) - WITHIN
    return compute_to_reach(table, rungs, wanted) / compute(table, full)
