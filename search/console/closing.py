"""Prints the end of a search: the front, plans suggested for export with their losses, files, and next commands."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from objectives.front import FrontLimits
from objectives.objectives import COST_NAMES
from search.analysis.choices import FIRST, choices
from search.analysis.latency_notes import latency_notes, speedup
from search.analysis.rank_flips import rank_flips
from search.analysis.signals import signals_line
from search.analysis.summary import dense_of, describe_trial, limits_of, summarize
from search.console.front_table import front_table
from search.console.terminal import console, say
from search.settings import Settings
from search.storage.database_url import shown
from search.storage.find_run import open_results
from search.storage.results import TrialRecord


def hypervolumes(summary: dict[str, Any]) -> str:
    """Return one line with the hypervolume that the search maximizes and the one that compares runs."""
    accuracy, floor = summary["reference_above_floor"]["accuracy"], summary["floor"]
    what = f", which {floor['by']} reaches" if floor else ""
    return (
        f"Hypervolume {summary['hypervolume_above_floor']:.4f} within the limits above accuracy {accuracy:.3g}{what} "
        f"({summary['hypervolume']:.4f} of all finished trials above accuracy 0)"
    )


def choice_lines(records: Sequence[TrialRecord], limits: FrontLimits) -> Iterator[str]:
    """Yield one line per suggested rule: the trial that it selects, its FLOPs, and its loss on the test split.

    Args:
        records: all trials of a run.
        limits: the limits that a trial on the front must keep.
    """
    dense = dense_of(records)
    for choice in choices(records, limits):
        yield f"{choice.option:<21} trial {_loss(describe_trial(choice.record, dense), dense)}"


def _loss(trial: dict[str, Any], dense: TrialRecord | None) -> str:
    """Return number, FLOPs and loss of a trial as text: the search split chose it, the test split measures it."""
    cost = f"{trial['number']}: {trial['flops_ratio']:.1%} of the FLOPs{_faster(trial)}"
    kept = "" if trial["retention"] is None else f", {trial['retention']:.1%} of dense accuracy"
    test = trial["test"]
    if not test or "difference_to_dense" not in test:
        return f"{cost}{kept}, not tested"
    if kept and dense is not None and (before := describe_trial(dense, dense)["accuracy"]):
        kept = f", of dense accuracy {trial['accuracy'] / before:.1%} on search, {trial['retention']:.1%}"
    low, high = (100 * bound for bound in test["difference_interval"])
    return f"{cost}{kept} on test, {100 * test['difference_to_dense']:+.1f} points [{low:+.1f}, {high:+.1f}]"


def _faster(trial: dict[str, Any]) -> str:
    """Return the measured speed-up with its quartiles for a search by latency, else an empty text."""
    found = speedup(trial) if trial["predicted"] and trial["flops_ratio"] < 1 else None
    return "" if found is None else f", {found[0]:.2f} x faster [{found[1]:.2f}, {found[2]:.2f}]"


def print_front(settings: Settings, is_finished: bool) -> None:
    """Print the front of a run and write its picture; print plans suggested for export, files, and next commands."""
    folder = settings.run_folder
    results = open_results(folder, settings.storage)
    summary, records, run = summarize(results), results.records(), results.run
    results.close()
    out = console()
    out.print()
    if summary["front"]:
        out.print(front_table(summary, out.width), soft_wrap=True)
    else:
        out.print(_why_empty(summary))
    _print_counts(out, summary, records)
    for line in latency_notes(summary["front"]) if summary["cost"] == COST_NAMES["latency"] else ():
        say(out, line)
    if summary["front"]:
        _print_picture(out, records, summary, folder / "front.png")
    out.print(f"Database: {shown(settings.storage_url)}", soft_wrap=True, markup=False)
    if not is_finished:
        out.print("Not finished: run the same command again to continue.")
    where = f"--out {folder}" + (f" --storage {shown(settings.storage)}" if settings.storage else "")
    _print_commands(out, where, list(choice_lines(records, limits_of(run, records))))


def _why_empty(summary: dict[str, Any]) -> str:
    if not summary["counts"].get("complete"):
        return "No trial has finished its last rung yet."
    return "No finished trial is within the limits and above the floor."


def _print_counts(out: Console, summary: dict[str, Any], records: list[TrialRecord]) -> None:
    counts = summary["counts"]
    states = ", ".join(f"{counts.get(state, 0)} {state}" for state in ("complete", "stopped", "failed", "running"))
    say(out, f"{counts['trials']} of {summary['budget']} trials: {states}. {hypervolumes(summary)}.")
    for flips in rank_flips(records):
        if flips.misleads:
            say(out, str(flips), style="yellow")
    if (line := signals_line(summary["signals"])) is not None:
        say(out, line, style="yellow")


def _print_picture(out: Console, records: list[TrialRecord], summary: dict[str, Any], file: Path) -> None:
    from search.console.front_picture import draw_front

    draw_front(records, summary, file)
    out.print(f"Picture: {file}", soft_wrap=True, markup=False)


def _print_commands(out: Console, where: str, lines: list[str]) -> None:
    """Print the commands that show a run, then that of an export with the suggested rules and their losses."""
    out.print("Look at it:")
    for what in ("report", "serve", "dashboard", "status"):
        out.print(f"  python -m search.{what} {where}", soft_wrap=True, markup=False)
    print_choices(out, where, lines)


def print_choices(out: Console, where: str, lines: Sequence[str]) -> None:
    """Print the command that exports a plan, and the rules that may choose it with what they lose.

    Args:
        out: where to print.
        where: the options that name the run.
        lines: one line per rule from `choice_lines`; nothing is printed without any.
    """
    if lines:
        out.print(
            "Ship a plan, chosen on the search split by a rule below (a model folder, checked in a fresh process):"
        )
        first = next((line for line in lines if line.startswith(FIRST)), lines[0])
        out.print(f"  python -m search.export {where} {first[:21].rstrip()} --to DIR", soft_wrap=True, markup=False)
        for line in lines:
            say(out, f"    {line}")
