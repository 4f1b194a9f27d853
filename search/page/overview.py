"""Section "What was found": the result in a sentence, the numbers of the run, and the plans suggested for export."""

from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from search.page.numbers import accuracy, difference, flops, latency, milliseconds, weights
from search.page.plan_strip import plan_strip
from search.page.run_facts import RunFacts
from search.page.section import Command, Piece, Section, Table, Text, Tile, Tiles


def overview(run: RunFacts) -> Section:
    """Return the section."""
    return Section("found", "What was found", list(_pieces(run)))


def _pieces(run: RunFacts) -> Iterator[Piece]:
    yield Text(_verdict(run), strong=True)
    yield Tiles(_tiles(run))
    if not run.choices:
        return
    yield Table(
        ("choose", "trial", "plan", "FLOPs", "accuracy [95 %]", "against dense [95 %]", "prefill", "weights"),
        [_row(run, choice.words, choice.record.trial.number) for choice in run.choices],
        "Plans to ship. A point is 0.01 of accuracy. The rule chooses on the search split; accuracies are of the test "
        "split unless another is named.",
    )
    if (choice := run.first_choice) is not None:
        yield Command(
            f"python -m search.export {run.where} {choice.option} --to DIR",
            f"Export trial {choice.record.trial.number} as a model folder, checked in a fresh process:",
        )
        yield Command(
            f"python -m search.explain {run.where} --trial {choice.record.trial.number}",
            "See what it skips, saves and loses:",
        )
    if not run.summary["finished"]:
        yield Text("The search is not finished; the same `search.run` command continues it.")


def _row(run: RunFacts, words: str, number: int) -> list[str]:
    trial = run.described(number)
    plan = next(record.plan for record in run.records if record.trial.number == number)
    return [
        words, str(number), Markup("{}").format(plan_strip(plan)), f"{trial['flops_ratio']:.1%} of dense",
        accuracy(trial), difference(trial), milliseconds(latency(trial, "prefill")), weights(trial),
    ]  # fmt: skip


def _verdict(run: RunFacts) -> str:
    """Return the result in one sentence or two."""
    if not run.summary["front"]:
        if run.summary["counts"].get("complete"):
            return "No finished trial is within the limits and above the floor."
        return "No trial has finished its last rung yet."
    first = run.first_choice
    if first is None or run.dense is None:
        return f"The front has {len(run.front)} plans."
    trial = run.described(first.record.trial.number)
    if trial["flops_ratio"] >= 1:
        return "No plan that keeps 97 % of the dense model's accuracy is cheaper than the dense model."
    kept = f"keeps {trial['retention']:.1%} of the dense accuracy"
    tested = f": {difference(trial)} on questions that the search has not seen" if difference(trial) else ""
    return f"Trial {trial['number']} runs {trial['flops_ratio']:.1%} of the dense FLOPs and {kept}{tested}."


def _tiles(run: RunFacts) -> list[Tile]:
    summary = run.summary
    counts: dict[str, Any] = summary["counts"]
    states = ", ".join(
        f"{counts[name]} {name}" for name in ("complete", "stopped", "failed", "running") if name in counts
    )
    tiles = [Tile(f"{counts['trials']} of {summary['budget']}", f"trials: {states}" if states else "trials")]
    if run.front:
        tiles.append(Tile(str(len(run.front)), "plans on the front"))
        tiles.append(Tile(f"{summary['hypervolume_above_floor']:.3f}", "hypervolume above the floor, of at most 1"))
    if dense := summary["dense"]:
        tiles.append(Tile(accuracy(dense).partition(" ")[0], f"accuracy of the dense model ({run.metric}, 0 to 1)"))
        tiles.append(Tile(flops(dense), "per question, dense"))
    if floor := summary["floor"]:
        tiles.append(Tile(f"{floor['accuracy']:.3f}", f"floor: {floor['by']}"))
    return tiles
