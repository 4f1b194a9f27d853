"""Text of the labels that appear over the points of the front: plan, numbers, and the command that exports it."""

from collections.abc import Sequence
from html import escape
from textwrap import wrap

from search.page.numbers import Trial, accuracy, difference, flops, latency, milliseconds, weights
from search.page.run_facts import RunFacts
from search.storage.results import TrialRecord
from spaces.plan_picture import plan_picture
from spaces.plan_text import runs_of_text

WIDTH = 36
"""Longest line in characters, so that a label fits a telephone."""


def front_hover(run: RunFacts, trial: Trial) -> str:
    """Return the label of a trial of the front or of the dense model."""
    record = next(each for each in run.records if each.trial.number == trial["number"])
    prefill, decode = (milliseconds(latency(trial, step)) for step in ("prefill", "decode"))
    speed = f"prefill {prefill}, {decode} per token" if prefill else ""
    return _lines(
        _heading(record),
        [
            *plan_lines(record),
            f"search {trial['accuracy']:.3f}" + (f", test {accuracy(trial)}" if trial["test"] else ""),
            f"against dense {difference(trial)}" if difference(trial) else "",
            f"{trial['flops_ratio']:.1%} of dense, {flops(trial)}",
            speed,
            f"{weights(trial)} weights, depth {trial['depth']}",
            f"found by: {trial['origin']}",
            "",
            run.export_command(trial["number"]),
        ],
    )


def trial_hover(record: TrialRecord) -> str:
    """Return the label of any measured trial."""
    rungs = record.on("search")
    last = rungs[-1]
    ended = "" if record.is_complete else f" ({record.trial.state} after {len(rungs)} rungs)"
    return _lines(
        _heading(record) + ended,
        [
            *plan_lines(record)[:1],
            f"accuracy {last.accuracy:.3f} on {last.questions} questions, {last.tuning_steps} tuning steps",
            f"{last.flops_ratio:.1%} of the dense {last.cost}",
            f"found by: {record.trial.origin}",
        ],
    )


def _heading(record: TrialRecord) -> str:
    return f"trial {record.trial.number}"


def _lines(heading: str, lines: Sequence[str]) -> str:
    """Return the heading in bold and the lines, each broken at `WIDTH` characters."""
    broken = [part for line in lines for part in (wrap(line, WIDTH) or [""])]
    return "<br>".join([f"<b>{escape(heading)}</b>", *map(escape, broken)])


def plan_lines(record: TrialRecord) -> list[str]:
    """Return the text of a plan, by runs where that is shorter, and its picture where it has one cell per block."""
    picture = plan_picture(record.plan)
    return [short_plan(record.trial.plan), *(wrap(picture, WIDTH) if len(picture) == len(record.plan) else [])]


def short_plan(text: str) -> str:
    """Return the text of a plan, with equal neighbours counted where it is long and that is shorter."""
    return min(runs_of_text(text), text, key=len) if len(text) > WIDTH else text
