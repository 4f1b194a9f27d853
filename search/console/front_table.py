"""The front as a table on the terminal."""

from collections.abc import Callable
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.table import Table

from search.analysis.rank_flips import rank_flips
from search.analysis.summary import summarize
from search.console.terminal import console
from search.settings import Settings
from search.storage.database_url import shown
from search.storage.find_run import open_results


def front_table(summary: dict[str, Any], width: int) -> Table:
    """Return a table of one row per plan of the front, cheapest first, then the dense model and the floor."""
    table = Table(title=f"Pareto front of {summary['run']}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    columns = [column for column in _COLUMNS if width >= WIDE or column[0] not in _WIDE_ONLY]
    for name, justify, _ in columns:
        # plans whose blocks are pruned may be longer than the table is wide
        table.add_column(name, justify=justify, no_wrap=name != "plan", overflow="fold")
    dense = summary["dense"]
    for trial in summary["front"]:
        table.add_row(*(cell(trial) for _, _, cell in columns))
    if dense and all(dense["number"] != trial["number"] for trial in summary["front"]):
        table.add_section()
        table.add_row(*(cell(dense) for _, _, cell in columns), style="dim")
    if (floor := summary["floor"]) is not None:
        shown_of_floor = {"plan": "floor", "accuracy": f"{floor['accuracy']:.3f}"}
        table.add_section()
        table.add_row(*(shown_of_floor.get(name, "") for name, _, _ in columns), style="dim")
    return table


def _on_test(trial: dict[str, Any]) -> str:
    """Mean over the seeds of tuning, and their standard deviation."""
    test = trial["test"]
    if not test:
        return ""
    return f"{test['accuracy']:.3f}" + ("" if test["seed_spread"] is None else f" ±{test['seed_spread']:.3f}")


def _against_dense(trial: dict[str, Any]) -> str:
    test = trial["test"]
    if not test or "difference_to_dense" not in test:
        return ""
    low, high = test["difference_interval"]
    return f"{test['difference_to_dense']:+.3f} [{low:+.3f}, {high:+.3f}]"


def _engineering(flops: float) -> str:
    """Return FLOPs as text with three digits and a unit."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if flops >= size:
            return f"{flops / size:.3g} {unit}"
    return f"{flops:.0f}"


#: Column, its side, and what it shows of a trial.
_COLUMNS: list[tuple[str, Literal["left", "right"], Callable[[dict[str, Any]], str]]] = [
    ("trial", "right", lambda trial: str(trial["number"])),
    ("plan", "left", lambda trial: trial["plan"]),
    ("FLOPs", "right", lambda trial: _engineering(trial["flops"])),
    ("ratio", "right", lambda trial: f"{trial['flops_ratio']:.3f}"),
    ("accuracy", "right", lambda trial: f"{trial['accuracy']:.3f}"),
    ("test", "right", _on_test),
    ("against dense, 95 %", "right", _against_dense),
    ("found by", "left", lambda trial: trial["origin"]),
]
_WIDE_ONLY = ("FLOPs", "found by")
WIDE = 110


def hypervolumes(summary: dict[str, Any]) -> str:
    """Return one line with the hypervolume that the search maximizes and the one that compares runs."""
    accuracy, floor = summary["reference_above_floor"]["accuracy"], summary["floor"]
    what = f", which {floor['by']} reaches" if floor else ""
    return (
        f"Hypervolume {summary['hypervolume_above_floor']:.4f} within the limits above accuracy {accuracy:.3g}{what} "
        f"({summary['hypervolume']:.4f} of all finished trials above accuracy 0)"
    )


def _why_empty(summary: dict[str, Any]) -> str:
    if not summary["counts"].get("complete"):
        return "No trial has finished its last rung yet."
    return "No finished trial is within the limits and above the floor."


def print_front(settings: Settings, is_finished: bool) -> None:
    """Print the end of a search: the front, where files are, and the next commands."""
    from search.console.front_plot import draw_front

    folder = settings.run_folder
    results = open_results(folder, settings.storage)
    summary = summarize(results)
    records = results.records()
    results.close()
    out = console()
    out.print()
    out.print(front_table(summary, out.width) if summary["front"] else _why_empty(summary))
    counts = summary["counts"]
    states = ", ".join(f"{counts.get(state, 0)} {state}" for state in ("complete", "stopped", "failed", "running"))
    out.print(f"{counts['trials']} of {summary['budget']} trials: {states}. {hypervolumes(summary)}.")
    for flips in rank_flips(records):
        if flips.misleads:
            out.print(str(flips), style="yellow", soft_wrap=True)
    if summary["front"]:
        picture = folder / "front.png"
        draw_front(records, summary, picture)
        out.print(f"Picture: {picture}", soft_wrap=True)
    out.print(f"Database: {shown(settings.storage_url)}", soft_wrap=True)
    where = f"--out {folder}" + (f" --storage {shown(settings.storage)}" if settings.storage else "")
    if not is_finished:
        out.print("Not finished: the same command goes on where this one stopped.")
    out.print("Next:")
    for what in ("report", "dashboard", "status"):
        out.print(f"  python -m search.{what} {where}", soft_wrap=True)
    if summary["front"]:
        out.print(f"  python -m search.export {where} --knee --to DIR    # a model folder, checked", soft_wrap=True)
        number = summary["front"][-1]["number"]
        out.print(
            f"  python -m search.report {where} --request {number} | python -m workers -    # run a trial by hand",
            soft_wrap=True,
        )
