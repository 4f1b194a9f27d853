"""The front as a table on the terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

from search.controller import Controller
from search.open_folder import open_results
from search.settings import Settings
from search.summary import summarize


def front_table(summary: dict[str, Any]) -> Table:
    """One row a plan of the front, cheapest first, and the dense model below."""
    table = Table(title=f"Pareto front of {summary['run']}", title_justify="left")
    for name, justify in (
        ("trial", "right"), ("plan", "left"), ("FLOPs", "right"), ("of dense", "right"), ("accuracy", "right"),
        ("on test", "right"), ("against dense, 95 %", "right"), ("found by", "left"),
    ):  # fmt: skip
        table.add_column(name, justify=justify, no_wrap=name != "found by")
    for trial in summary["front"]:
        table.add_row(*_cells(trial))
    dense = summary["dense"]
    if dense and all(dense["number"] != trial["number"] for trial in summary["front"]):
        table.add_section()
        table.add_row(*_cells(dense), style="dim")
    return table


def _cells(trial: dict[str, Any]) -> list[str]:
    test = trial["test"]
    against = ""
    if test and "difference_to_dense" in test:
        low, high = test["difference_interval"]
        against = f"{test['difference_to_dense']:+.3f} [{low:+.3f}, {high:+.3f}]"
    return [
        str(trial["number"]),
        trial["plan"],
        _engineering(trial["flops"]),
        f"{trial['flops_ratio']:.1%}",
        f"{trial['accuracy']:.3f}",
        f"{test['accuracy']:.3f}" if test else "",
        against,
        trial["origin"],
    ]


def _engineering(flops: float) -> str:
    """FLOPs with three digits and a unit."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if flops >= size:
            return f"{flops / size:.3g} {unit}"
    return f"{flops:.0f}"


def print_front(settings: Settings, controller: Controller) -> None:
    """The end of a search: the front, where everything is, and what to do next."""
    from search.picture import draw_front

    folder = settings.run_folder
    results = open_results(folder, settings.storage)
    summary = summarize(results)
    records = results.records()
    results.close()
    console = Console(highlight=False)
    console.print()
    console.print(front_table(summary) if summary["front"] else "No trial has finished its last rung yet.")
    counts = summary["counts"]
    states = ", ".join(f"{counts.get(state, 0)} {state}" for state in ("complete", "pruned", "failed", "running"))
    console.print(
        f"{counts['trials']} of {summary['budget']} trials: {states}. Hypervolume {summary['hypervolume']:.4f}."
    )
    if summary["front"]:
        picture = folder / "front.png"
        draw_front(records, summary, picture)
        console.print(f"Picture: {picture}", soft_wrap=True)
    console.print(f"Database: {settings.storage_url}", soft_wrap=True)
    where = f"--out {folder}" + (f" --storage {settings.storage}" if settings.storage else "")
    if not controller.finished:
        console.print("Not finished: the same command goes on where this one stopped.")
    console.print("Next:")
    for what in ("report", "dashboard", "status"):
        console.print(f"  python -m search.{what} {where}", soft_wrap=True)
    if summary["front"]:
        number = summary["front"][-1]["number"]
        console.print(
            f"  python -m search.report {where} --request {number} | python -m workers -    # run a trial by hand",
            soft_wrap=True,
        )
