"""What the comparison runs: which strategies with which budgets on which landscapes, several at the same time."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from itertools import product
from multiprocessing import get_context
from typing import Any

from benchmarks.strategies.comparison import gather, search
from benchmarks.strategies.replay import Replays
from benchmarks.truth.enumerated import Truth
from benchmarks.truth.grown import Grown
from benchmarks.truth.landscapes import LANDSCAPES as TABLES
from benchmarks.truth.landscapes import Landscape
from benchmarks.truth.table import Table

LANDSCAPES = (
    "blocks12",
    "blocks14",
    "heldout12",
    "layers6",
    "layers12",
    "rungs4",
    "rungs7",
    "blocks12:read_row",
    "blocks12:where_is",
)
"""Tables of `benchmarks.truth`; after a colon the only kind of question asked, which is another
task."""
BUDGETS = (25, 50, 100, 200, 400)
OURS = "guided"
OURS_ALSO = (70,)
"""Budgets of our strategy alone, for what must be reached in so many trials."""
PICTURED = 200
"""Of every strategy the largest budget up to this is drawn."""
SEEDS = 10


MILLISECONDS = {
    "guided": 25,
    "evolution": 2,
    "additive": 20,
    "one-shot": 1,
    "greedy": 1,
    "bandit": 16,
    "evopress": 1,
    "interval-grid": 1,
    "tpe": 100,
    "nsga2": 5,
    "random": 1,
    "gp": 300,
}
"""What an ask takes in a search of 200 trials, about: what is slowest starts first."""
STRATEGIES = tuple(MILLISECONDS)
SLOW = {
    "additive": {100: 3, 200: 2, 400: 0},
    "bandit": {100: 5, 200: 1, 400: 0},
    "tpe": {100: 2, 200: 1, 400: 0},
    "nsga2": {200: 5, 400: 2},
    "gp": {25: 2, 50: 1, 100: 0},
    "gp on rungs4": {25: 2, 50: 0},
    "tpe on rungs4": {50: 3, 100: 1},
    "bandit on rungs4": {100: 3},
    "bandit on rungs7": {100: 3, 200: 1, 400: 0},
}
"""Strategies that take long for a proposal: from a budget on, how many seeds they are run with; 0 leaves them out. On
small tables these three name plans again that were tried, and are asked up to fifty times a trial."""


@dataclass(frozen=True)
class Cell:
    """One strategy with one budget on one landscape, over seeds."""

    landscape: str
    strategy: str
    budget: int
    seeds: int
    pictured: bool

    @property
    def in_full(self) -> bool:
        """Whether it is run once more with every trial run to its end, on rungs: what our rungs save."""
        return self.strategy == OURS

    @property
    def seconds(self) -> float:
        """What it takes, about: an ask is slower the more there was before."""
        passes = 2 if self.in_full and len(_landscape(self.landscape).rungs) > 1 else 1
        asks = self.seeds * self.budget * passes
        return asks * MILLISECONDS[self.strategy] / 1e3 * self.budget / PICTURED


def budgets_of(landscape: str, strategy: str, everything: bool = False) -> dict[int, int]:
    """The seeds of every budget a strategy is run with: on a table of every plan up to half of them."""
    searched = _landscape(landscape)
    budgets = [*BUDGETS, *(OURS_ALSO if strategy == OURS else ())]
    slow = {} if everything else SLOW.get(f"{strategy} on {landscape}", SLOW.get(strategy, {}))
    fit = {}
    for budget in sorted(budgets):
        seeds = [seeds for least, seeds in slow.items() if least <= budget][-1:] or [SEEDS]
        if seeds[0] and budget <= searched.searched.size / 2:
            fit[budget] = seeds[0]
    return fit


def cells_of(
    landscapes: Sequence[str],
    strategies: Sequence[str],
    budgets: Sequence[int],
    seeds: int = SEEDS,
    everything: bool = False,
) -> list[Cell]:
    """What there is to run, the slowest first."""
    cells = []
    for landscape, strategy in product(landscapes, strategies):
        own = budgets_of(landscape, strategy, everything)
        drawn = max((budget for budget in own if budget <= PICTURED), default=None)
        cells += [
            Cell(landscape, strategy, budget, min(seeds, most), pictured=budget == drawn)
            for budget, most in own.items()
            if budget in budgets
        ]
    return sorted(cells, key=lambda cell: -cell.seconds)


def run_all(cells: Sequence[Cell], processes: int) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Runs the searches of cells in processes of one thread each; yields the results as cells are complete. What a
    strategy does on a landscape with a seed is run by one process, told one budget after another."""
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(run, told, seed): (told, seed) for told, seed in _jobs(cells)}
        found: dict[Cell, dict[int, dict[str, Any]]] = {cell: {} for cell in cells}
        for done in as_completed(running):
            told, seed = running.pop(done)
            for cell, result in zip(told, done.result(), strict=True):
                own = found[cell]
                own[seed] = result
                if len(own) == cell.seeds:
                    yield cell, gather([own[seed] for seed in range(cell.seeds)])


def _jobs(cells: Sequence[Cell]) -> list[tuple[list[Cell], int]]:
    """Cells of a landscape and a strategy with one of their seeds: what takes longest first, and the largest budget."""
    together: dict[tuple[str, str, int], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: -cell.budget):
        for seed in range(cell.seeds):
            together.setdefault((cell.landscape, cell.strategy, seed), []).append(cell)
    jobs = [(told, seed) for (_, _, seed), told in together.items()]
    return sorted(jobs, key=lambda job: -sum(cell.seconds for cell in job[0]))


def run(told: Sequence[Cell], seed: int) -> list[dict[str, Any]]:
    """The searches with one seed that cells of one landscape and strategy are told, in this process."""
    table = open_table(told[0].landscape)
    replays = Replays(table, told[0].strategy, seed)
    return [search(table, replays, cell.budget, pictured=cell.pictured, in_full=cell.in_full) for cell in told]


@cache
def open_table(name: str) -> Table:
    """A table by its name, or the part of it that one kind of question makes; once a process."""
    table, _, kind = name.partition(":")
    if TABLES[table].grows:
        return Grown.load(table)
    truth = Truth.load(table)
    return truth.only((kind,)) if kind else truth


def _landscape(name: str) -> Landscape:
    return TABLES[name.partition(":")[0]]
