"""What one proposal costs as trials add up: `python -m benchmarks.ask_time`.

A strategy is shown histories of a landscape in closed form, with three rungs and the search's own promotion, and asked
for the next plan several times, a trial added before each. CPU time of this process, so that others on the machine
don't count; run it with OMP_NUM_THREADS=1.
"""

import time
from dataclasses import replace
from typing import Annotated

import numpy as np
import typer

from benchmarks.origin import heading
from objectives.objectives import MAXIMIZE
from search.strategies import load_strategy
from search.strategies.promotion import goes_on
from search.strategies.scan import scan
from search.strategies.strategy import Observation, Task
from spaces.plan import Op, Plan
from tests.search.strategies.landscape import additive_accuracy, task

ALLOWED = 0.050
"""What the issue tracker asks for, in seconds an ask at 1,000 trials."""
ASKS, WARM_UP = 16, 2
"""Asks that count, and those before them: two kernels take turns."""
QUESTIONS = 256
"""With a margin each, as many as the cheapest rung of a search has by default."""
LIFT = (0.0, 0.05, 0.07)
"""What every rung adds to the accuracy."""


def history_of(wanted: Task, count: int, rng: np.random.Generator) -> list[Observation]:
    """`count` trials: the dense plan, the cheapest and single changes first, then samples, then mutations of what
    climbed last, as in a search."""
    ends = [Plan.of([op] * wanted.space.num_blocks) for op in (Op.KEEP, Op.SKIP_BLOCK)]
    first = [*ends, *scan(wanted.space, wanted.budget // 2)]
    plans: dict[Plan, None] = dict.fromkeys(first)
    climbed: list[list[tuple[float, float]]] = [[] for _ in LIFT]
    trials: list[Observation] = []
    while len(trials) < count:
        plan = list(plans)[len(trials)]
        margins = _margins(additive_accuracy(plan))
        right = float((margins > 0).mean())
        accuracies = _climb(right, wanted.flops_ratio(plan), climbed, wanted.keep_fraction)
        full = len(accuracies) == len(LIFT)
        state = "complete" if full else "stopped"
        told = tuple(margins.tolist())
        trials.append(Observation(len(trials), plan, "", state, wanted.flops_ratio(plan), accuracies, full, told))
        while len(plans) <= len(trials):
            parents = [trial.plan for trial in trials[-50:] if trial.full]
            parent = parents[rng.integers(len(parents))] if len(trials) > len(first) + 50 else None
            plans[wanted.space.mutate(parent, rng) if parent else wanted.space.sample(rng)] = None
    return trials


def _margins(accuracy: float) -> np.ndarray:
    """(QUESTIONS,) of which this share is answered right; that is the accuracy at the cheapest rung then, as it is of
    greedy answers in a search."""
    return 8.0 * (accuracy - (np.arange(QUESTIONS) + 0.5) / QUESTIONS)


def _climb(
    accuracy: float, cost: float, climbed: list[list[tuple[float, float]]], keep_fraction: float
) -> tuple[float, ...]:
    """Accuracies at the rungs that a trial is let to, noted in `climbed`."""
    reached: list[float] = []
    for rung, lift in enumerate(LIFT):
        point = (min(1.0, accuracy + lift), cost)
        peers, reached = climbed[rung], [*reached, point[0]]
        allowed = goes_on(peers, point, MAXIMIZE, keep_fraction)
        peers.append(point)
        if not allowed:
            break
    return tuple(reached)


def seconds_an_ask(strategy: str, space: str, num_blocks: int, trials: int) -> np.ndarray:
    """(ASKS,) CPU seconds; the first asks, which read the whole history and fit every kernel, are left out."""
    wanted = replace(task(space, num_blocks, budget=trials + ASKS + WARM_UP), keep_fraction=1 / 3)
    history = history_of(wanted, trials + ASKS + WARM_UP, np.random.default_rng(0))
    asked = load_strategy(strategy, wanted)
    seconds = []
    for number in range(ASKS + WARM_UP):
        start = time.process_time()
        asked.ask(history[: trials + number], np.random.default_rng(number))
        seconds.append(time.process_time() - start)
    return np.array(seconds[WARM_UP:])


def main(
    strategies: Annotated[str, typer.Option(help="Names, with commas.")] = "guided,evolution",
    space: Annotated[str, typer.Option(help="The space searched.")] = "layers",
    blocks: Annotated[str, typer.Option(help="Depths, with commas.")] = "12,32,80",
    trials: Annotated[str, typer.Option(help="Trials in the history, with commas.")] = "100,300,1000",
) -> None:
    """Print the median and the slowest ask, and whether the median is within what is allowed."""
    print(heading("Time of an ask", space=space))
    print(f"{'strategy':10} {'blocks':>6} {'trials':>6} {'median':>9} {'slowest':>9}  allowed")
    for strategy in strategies.split(","):
        for num_blocks in map(int, blocks.split(",")):
            for count in map(int, trials.split(",")):
                seconds = seconds_an_ask(strategy, space, num_blocks, count)
                verdict = "yes" if np.median(seconds) <= ALLOWED else "NO"
                print(
                    f"{strategy:10} {num_blocks:6} {count:6} {1e3 * np.median(seconds):6.1f} ms "
                    f"{1e3 * seconds.max():6.1f} ms  {verdict}, {1e3 * ALLOWED:.0f} ms",
                    flush=True,
                )


if __name__ == "__main__":
    typer.run(main)
