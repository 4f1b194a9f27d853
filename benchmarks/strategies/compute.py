"""What the trials of a replayed search cost, and how much of that it takes to reach a share."""

from collections.abc import Sequence

import numpy as np

from benchmarks.strategies.replay import Run, share
from benchmarks.truth.table import Table
from search.strategies import signals_of
from search.strategies.strategy import Signal
from workers.requests import Rung, TuningRecipe

BACKWARD = 3
"""A tuning step costs this many forward passes: a backward pass is about two."""
SIGNALS = {Signal.MARGINS: 1, Signal.IMPORTANCE: 20}
"""What a signal costs, in evaluations of the questions it is measured on: measured 0.6, and 4.9 for each of four
draws of the gates, on the embedded model, whose evaluation packs the questions about an image, as gates of single
questions can't be."""
TUNE_QUESTIONS = 256
"""Questions of the tune split, which are answered before tuning and after every tuned rung."""
WITHIN = 0.01
"""A share less than this below another counts as the same front."""


def work(rungs: Sequence[Rung]) -> np.ndarray:
    """(R,) what each rung costs without signals, in questions answered by the same plan; tuning as the passes it takes.

    A trial that goes on where another was stopped is one of the rungs left: it tunes from step 0.
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
    """(trials,) what every trial of a search costs, in questions answered by the dense plan.

    Args:
        strategy: its name; the signals it reads are counted.
        rungs: of the search, as in `work`.
        went_on_from, reached: per trial, the rungs that another trial had finished, which it took up, and those that
            it had finished in the end.
        flops: (trials,) of the plans, as a share of those of the dense one.
    """
    per_rung = {
        (first, last): work(rungs[first:last]).sum() for first, last in set(zip(went_on_from, reached, strict=True))
    }
    units = np.array([per_rung[trial] for trial in zip(went_on_from, reached, strict=True)])
    return (units + signals(strategy, went_on_from) * (rungs[0].questions or 0)) * flops


def signals(strategy: str, went_on_from: Sequence[int]) -> np.ndarray:
    """(trials,) what the signals cost that the strategy reads, in evaluations of the questions of the first rung, where
    they are measured; the importance in the first trial alone, which is dense."""
    reads, extra = signals_of(strategy), np.zeros(len(went_on_from))
    if Signal.MARGINS in reads:
        extra[np.array(went_on_from) == 0] += SIGNALS[Signal.MARGINS]
    if Signal.IMPORTANCE in reads:
        extra[0] += SIGNALS[Signal.IMPORTANCE]
    return extra


def computes(table: Table, run: Run) -> np.ndarray:
    """(trials,) what every trial of a run costs, in questions answered by the dense plan."""
    flops = table.flops_ratio[list(run.rows)] / table.flops_ratio.max()
    return spent(run.strategy, table.landscape.rungs, run.went_on_from, run.reached, flops)


def compute(table: Table, run: Run) -> float:
    """What all trials of a run cost, in questions answered by the dense plan."""
    return float(computes(table, run).sum())


def compute_to_reach(table: Table, run: Run, wanted: float) -> float:
    """What the trials cost up to the first one with which a run has a share; infinite where it never has."""
    spent = np.cumsum(computes(table, run))
    for trial, full in enumerate(run.full):
        if full and share(table, run.counted(trial + 1)) >= wanted - 1e-9:
            return float(spent[trial])
    return float("inf")


def ratio_to_reach(table: Table, rungs: Run, full: Run) -> float:
    """The compute with which a run on rungs first has the front of a run of full trials, over all of that run's."""
    wanted = share(table, full.counted()) - WITHIN
    return compute_to_reach(table, rungs, wanted) / compute(table, full)
