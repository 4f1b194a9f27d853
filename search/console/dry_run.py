"""Prints what a search would do (`--dry-run`), from closed forms only; loads no model and creates no file."""

import time
from decimal import Decimal

import numpy as np
from rich.table import Table

from search.analysis.expected_work import work_of_search
from search.console.terminal import console
from search.loop.problem import CHEAPER, Problem
from search.loop.proposer import pick_baselines
from search.loop.warm_start import SHARE
from search.settings import Settings
from search.storage.database_url import shown
from search.strategies import num_patterns_of
from spaces.kinds import left_out
from spaces.names import shortened
from spaces.plan import Plan
from workers.describe import load_notes

MAX_UNUSED = 300
"""Number of characters of the names of columns that are not used."""


def describe(settings: Settings, problem: Problem) -> None:
    """Print a table with model, data, space, FLOPs range, limits, baselines, rungs and a lower bound on the time."""
    shape, dense = problem.shape, problem.costs(Plan.dense(problem.shape.num_blocks))
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = {
        "model": f"{settings.model.name}: {shape.num_blocks} blocks, hidden {shape.hidden_size}, FFN {shape.ffn_size}",
        "data set": f"{settings.dataset.name}: {problem.data['task']}, metric {settings.metric}",
        "columns": ", ".join(f"{what} from {name!r}" for what, name in problem.data["columns"].items()) or "its own",
        "not read": shortened(", ".join(map(repr, problem.data["unused columns"])), MAX_UNUSED) or "none",
        "rows": _rows(problem),
        "workload": _workload(problem),
        "dense FLOPs": f"{dense.flops:.4g} per question ({_ledger(problem)})",
        "space": f"{settings.space}: {_size(problem.space.size)} plans, {_range(problem)}",
        "notes": "; ".join(load_notes(settings.model)) or "none",
        "left out": "; ".join(left_out(shape.kinds)) or "nothing",
        "limits": _limits(problem),
        "latency": _latency(problem),
        "strategy": f"{settings.strategy}, {settings.budget} trials, seed {settings.seed}",
        "rungs": " > ".join(
            f"{rung.tuning_steps} tuning steps, {rung.questions or 'all'} questions" for rung in settings.rungs
        ),
        "final test": _final_test(settings),
        "warm start": _warm_start(problem),
        "baselines": ", ".join(
            p.origin.removeprefix("baseline ")
            for p in pick_baselines(problem.task(), num_patterns_of(settings.strategy, settings.budget))
            if p.origin.startswith("baseline ")
        ),
        "workers": _workers(settings, problem),
        "run": f"{settings.run_folder}",
        "storage": shown(settings.storage_url),
        "time": f"about {_minutes(_estimate(settings, problem))} for matrix products alone; a search shows its ETA",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console().print(table)


def _workload(problem: Problem) -> str:
    work = problem.workload
    return (
        f"{work.visual_tokens:g} visual, {work.text_tokens:.3g} text, {work.generated_tokens:.3g} generated tokens, "
        f"batch {work.batch} (means of the search split"
        + (f", with --workload {stated})" if (stated := problem.settings.workload) else ")")
    )


def _rows(problem: Problem) -> str:
    skipped = problem.data["skipped"]
    return ", ".join(
        f"{split} {rows}" + (f" ({skipped[split]} unusable left out)" if skipped[split] else "")
        for split, rows in problem.data["rows"].items()
    )


def _latency(problem: Problem) -> str:
    """Return how latency counts, whose times no dry run measures."""
    if not problem.settings.needs_times:
        return "does not count"
    what = "minimized" if problem.settings.minimize == "latency" else "limited"
    return f"{what}; the times of all ops are measured when the search starts, FLOPs stand in for them here"


def _limits(problem: Problem) -> str:
    limits = [
        limit.name if limit.name == CHEAPER else f"{limit.name} {limit.text(limit.bound)}" for limit in problem.limits
    ]
    if (most := problem.settings.max_latency) is not None:
        limits.append(f"--max-latency {most} (applied once times are measured)")
    if (least := problem.settings.min_accuracy) is not None:
        limits.append(f"--min-accuracy {least:g} (applied to measured trials)")
    if problem.settings.focus:
        low, high = problem.settings.focus
        limits.append(f"focus on {low:g} to {high:g} of the {problem.cost}")
    return ", ".join(limits) or "none"


def _workers(settings: Settings, problem: Problem) -> str:
    threads = problem.request(None, Plan.dense(problem.shape.num_blocks)).threads
    each = f"{threads} thread" + ("s" if threads != 1 else "")
    return f"{settings.num_workers} on Ray Tune, {each} each" if settings.on_ray else f"this process, {each}"


def _final_test(settings: Settings) -> str:
    seeds = settings.final_seeds if settings.rungs[-1].tuning_steps else 1
    return "the front on the test split" + (f", tuned with {seeds} seeds" if seeds > 1 else "")


def _warm_start(problem: Problem) -> str:
    if not problem.first:
        return "none"
    room = int(problem.settings.budget * SHARE)
    sources = ", ".join(problem.settings.warm_start)
    return f"{len(problem.first)} plans of {sources} (at most {SHARE:.0%} of the budget: {room})"


def _ledger(problem: Problem) -> str:
    ledger = problem.costs(Plan.dense(problem.shape.num_blocks)).ledger
    return ", ".join(
        f"{name} {value / ledger.total:.0%}" for name, value in ledger.as_dict().items() if name != "total"
    )


def _size(size: int) -> str:
    return str(size) if size < 1_000_000 else f"{Decimal(size):.2e}"


def _range(problem: Problem) -> str:
    from spaces.constraints import smallest

    cheapest = smallest(problem.space, problem.ratio)
    return f"{problem.cost} {problem.ratio(cheapest):.1%} ({cheapest}) to 100 % of dense"


def _estimate(settings: Settings, problem: Problem) -> float:
    """Return the seconds that the matrix products of the whole search would take on this machine.

    A lower bound: for small models, launching the products takes longer than computing them.
    """
    work, dense = work_of_search(settings, problem.data["rows"]), problem.costs(Plan.dense(problem.shape.num_blocks))
    return work * dense.flops / _flops_per_second(problem) / settings.num_workers


def _flops_per_second(problem: Problem) -> float:
    """Return the FLOPs per second of a matrix product of the model's width, measured on this machine.

    It is the fastest of several products, since other processes may use the machine.
    """
    rows, inputs, outputs = 1024, problem.shape.hidden_size, problem.shape.ffn_size
    a, b = np.ones((rows, inputs), np.float32), np.ones((inputs, outputs), np.float32)
    begin, fastest = time.perf_counter(), float("inf")
    while time.perf_counter() - begin < 0.1:
        start = time.perf_counter()
        a @ b
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * rows * inputs * outputs / fastest


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
