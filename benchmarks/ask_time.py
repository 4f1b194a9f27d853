"""Time of one proposal as trials accumulate: `python -m benchmarks.ask_time`.

A strategy receives histories of a landscape in closed form, with three rungs and the search's own promotion, and
proposes the next plan several times, with a trial added before each. The time is CPU time of this process, which other
processes do not affect; run it with OMP_NUM_THREADS=1.
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
"""Largest median of seconds per proposal at 1,000 trials, from the issue tracker."""
PROPOSALS, WARM_UP = 16, 2
"""Number of timed proposals, and of proposals before them; two kernels alternate."""
QUESTIONS = 256
"""Number of questions with a margin, as at the cheapest rung of a search by default."""
LIFT = (0.0, 0.05, 0.07)
"""Accuracy that every rung adds."""


def history_of(wanted: Task, count: int, rng: np.random.Generator) -> list[Observation]:
    """Return `count` trials in an order that resembles a search.

    The dense plan, the cheapest plan and single changes come first, then samples, then mutations of recently promoted
    plans.

    Args:
        wanted: space, budget, FLOPs ratios and promotion of the search.
        count: number of trials.
        rng: draws samples and mutations.
    """
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
        margin_values = tuple(margins.tolist())
        trials.append(
            Observation(len(trials), plan, "", state, wanted.flops_ratio(plan), accuracies, full, margin_values)
        )
        while len(plans) <= len(trials):
            parents = [trial.plan for trial in trials[-50:] if trial.full]
            parent = parents[rng.integers(len(parents))] if len(trials) > len(first) + 50 else None
            plans[wanted.space.mutate(parent, rng) if parent else wanted.space.sample(rng)] = None
    return trials


def _margins(accuracy: float) -> np.ndarray:
    """Return margins in nats, (QUESTIONS,), of which the share `accuracy` is above 0, as for right answers."""
    return 8.0 * (accuracy - (np.arange(QUESTIONS) + 0.5) / QUESTIONS)


def _climb(
    accuracy: float, cost: float, climbed: list[list[tuple[float, float]]], keep_fraction: float
) -> tuple[float, ...]:
    """Return the accuracies at the rungs to which a trial is promoted, and append them to `climbed`."""
    reached: list[float] = []
    for rung, lift in enumerate(LIFT):
        point = (min(1.0, accuracy + lift), cost)
        peers, reached = climbed[rung], [*reached, point[0]]
        allowed = goes_on(peers, point, MAXIMIZE, keep_fraction)
        peers.append(point)
        if not allowed:
            break
    return tuple(reached)


def seconds_per_proposal(strategy: str, space: str, num_blocks: int, trials: int) -> np.ndarray:
    """Return the CPU seconds of each timed proposal, (PROPOSALS,).

    The `WARM_UP` proposals before them, which read the whole history and fit every kernel, are not timed.

    Args:
        strategy: its name.
        space: name of the search space.
        num_blocks: blocks of the model.
        trials: number of trials in the history before the first proposal.
    """
    wanted = replace(task(space, num_blocks, budget=trials + PROPOSALS + WARM_UP), keep_fraction=1 / 3)
    history = history_of(wanted, trials + PROPOSALS + WARM_UP, np.random.default_rng(0))
    proposing = load_strategy(strategy, wanted)
    seconds = []
    for number in range(PROPOSALS + WARM_UP):
        start = time.process_time()
        proposing.ask(history[: trials + number], np.random.default_rng(number))
        seconds.append(time.process_time() - start)
    return np.array(seconds[WARM_UP:])


def main(
    strategies: Annotated[str, typer.Option(help="Names, separated by commas.")] = "guided,evolution",
    space: Annotated[str, typer.Option(help="The space to search.")] = "layers",
    blocks: Annotated[str, typer.Option(help="Numbers of blocks, separated by commas.")] = "12,32,80",
    trials: Annotated[
        str, typer.Option(help="Numbers of trials in the history, separated by commas.")
    ] = "100,300,1000",
) -> None:
    """Print the median and the slowest proposal, and whether the median is within the limit."""
    print(heading("Time of a proposal", space=space))
    print(f"{'strategy':10} {'blocks':>6} {'trials':>6} {'median':>9} {'slowest':>9}  allowed")
    for strategy in strategies.split(","):
        for num_blocks in map(int, blocks.split(",")):
            for count in map(int, trials.split(",")):
                seconds = seconds_per_proposal(strategy, space, num_blocks, count)
                verdict = "yes" if np.median(seconds) <= ALLOWED else "NO"
                print(
                    f"{strategy:10} {num_blocks:6} {count:6} {1e3 * np.median(seconds):6.1f} ms "
                    f"{1e3 * seconds.max():6.1f} ms  {verdict}, {1e3 * ALLOWED:.0f} ms",
                    flush=True,
                )


if __name__ == "__main__":
    typer.run(main)
