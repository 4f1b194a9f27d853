"""The runs of the comparison: strategies, budgets and landscapes, in several processes."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.strategies.comparison import gather, search
from benchmarks.strategies.replay import Replays
from benchmarks.truth.artificial import MADE, open_made
from benchmarks.truth.enumerated import Truth
from benchmarks.truth.grown import Grown
from benchmarks.truth.landscapes import LANDSCAPES as TABLES
from benchmarks.truth.landscapes import Landscape
from benchmarks.truth.outside_table import Given
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
    *MADE,
)
"""Tables of `benchmarks.truth`; after a colon, the only kind of question used, which makes another task."""
BUDGETS = (25, 50, 100, 200, 400)
"""Trials per search."""
OURS = "guided"
"""The default strategy of the search."""
OURS_ALSO = (70,)
"""Additional budgets of the default strategy, for goals with that number of trials."""
PICTURED = 200
"""Curves are drawn for the largest budget of a strategy up to this one."""
SEEDS = 10
"""Searches per strategy and budget."""


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
"""Approximate milliseconds per proposal in a search of 200 trials; the slowest searches start first."""
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
"""Slow strategies -> smallest budget -> number of seeds from that budget on; 0 skips them.

On small tables, these propose known plans repeatedly, up to fifty times per trial.
"""


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
        """Return True if a second search runs every trial to its end, to measure the compute that rungs save."""
        return self.strategy == OURS and not _from_file(self.landscape)

    @property
    def seconds(self) -> float:
        """Return the approximate seconds of one search; the time of a proposal grows with the number of trials."""
        passes = 2 if self.in_full and len(_landscape(self.landscape).rungs) > 1 else 1
        proposals = self.seeds * self.budget * passes
        return proposals * MILLISECONDS[self.strategy] / 1e3 * self.budget / PICTURED


def budgets_of(landscape: str, strategy: str, everything: bool = False) -> dict[int, int]:
    """Return budget -> number of seeds for a strategy; on an enumerated table, budgets up to 50 % of its plans."""
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
    """Return the cells to run, the slowest first."""
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
    """Run the searches of cells in processes of one thread each, and yield each cell with its result once complete.

    One process runs all budgets of a strategy on a landscape with a seed, one after another.
    """
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(run, batch, seed): (batch, seed) for batch, seed in _jobs(cells)}
        found: dict[Cell, dict[int, dict[str, Any]]] = {cell: {} for cell in cells}
        for done in as_completed(running):
            batch, seed = running.pop(done)
            for cell, result in zip(batch, done.result(), strict=True):
                own = found[cell]
                own[seed] = result
                if len(own) == cell.seeds:
                    yield cell, gather([own[seed] for seed in range(cell.seeds)])


def _jobs(cells: Sequence[Cell]) -> list[tuple[list[Cell], int]]:
    """Return cells of one landscape and strategy with one of their seeds, the slowest and the largest budget first."""
    together: dict[tuple[str, str, int], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: -cell.budget):
        for seed in range(cell.seeds):
            together.setdefault((cell.landscape, cell.strategy, seed), []).append(cell)
    jobs = [(batch, seed) for (_, _, seed), batch in together.items()]
    return sorted(jobs, key=lambda job: -sum(cell.seconds for cell in job[0]))


def run(batch: Sequence[Cell], seed: int) -> list[dict[str, Any]]:
    """Return the results of searches with one seed for cells of one landscape and strategy, run in this process."""
    table = open_table(batch[0].landscape)
    replays = Replays(table, batch[0].strategy, seed)
    return [search(table, replays, cell.budget, pictured=cell.pictured, in_full=cell.in_full) for cell in batch]


@cache
def open_table(name: str) -> Table:
    """Return a table by name, or its part for one kind of question; loaded once per process."""
    table, _, kind = name.partition(":")
    if name in MADE:
        return open_made(name)
    if _from_file(name):
        return Given.load(Path(name))
    if TABLES[table].grows:
        return Grown.load(table)
    truth = Truth.load(table)
    return truth.only((kind,)) if kind else truth


def _landscape(name: str) -> Landscape:
    return open_table(name).landscape if name in MADE or _from_file(name) else TABLES[name.partition(":")[0]]


def _from_file(name: str) -> bool:
    """Return True for the path of a table from outside the repository."""
    return name.endswith(".npz")
