"""Formats the front as a table for the terminal; plans are never wrapped."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from search.console.aligned import Column, aligned
from search.console.front_columns import ACCURACY, COLUMNS, SORTS, FrontColumn, Trial, route_columns
from spaces.agreement import agreement
from spaces.names import unknown
from spaces.plan import Plan
from spaces.plan_text import runs_of_text

LONGEST_PLAN = 24
"""Maximum number of characters of a plan in a column; if one is longer, each plan is printed below its row."""
LEGEND = (
    ("accuracy [95 %]", "mean over the seeds of tuning on the test split, with its interval over questions; (search): "
     "not tested, accuracy on the search split"),
    ("of dense", "share of the dense model's accuracy that is kept"),
    ("FLOPs", "share of the dense model's"),
    ("as ...", "the same in a folder of that format, where it differs"),
    ("speed-up", "dense time divided by the plan's, in alternating turns on the worker's device: median [quartiles]"),
    ("predicted", "time of the workload from images to last token: the dense time of the same turns, with the measured "
     "changes of the ops"),
    ("measured", "the same as measured: median ± half the interquartile range"),
    ("prefill", "median time to the first token of one question"),
    ("weights", "remaining parameters of the language model"),
    ("floor", "accuracy that is reached without looking at the pictures"),
)  # fmt: skip
"""(heading or row of the table, its meaning), for the legend."""
OPS = (". whole block", "a attention skipped", "f FFN skipped", "b block skipped", "p both in parallel",
       "c cross-attention skipped", "() pair", "v for visual tokens", "t for the prompt", "g for generated tokens",
       "{} pruned", "4. four times .")  # fmt: skip
"""Meaning of the characters of a plan; the legend contains those that occur."""


def front_table(summary: dict[str, Any], width: int, sort: str | None = None) -> Text:
    """Return the table of the front with title and legend; its last rows are the dense model and the floor.

    Args:
        summary: the result of `search.analysis.summary.summarize`.
        width: width of the terminal in characters.
        sort: a key of `SORTS`; None for the cheapest plan first.

    Raises:
        ValueError: `sort` is not one of `SORTS`.
    """
    if sort is not None and sort not in SORTS:
        raise unknown("--sort", sort, SORTS)
    front = sorted(summary["front"], key=SORTS[sort] if sort else _cost)
    dense = summary["dense"]
    rows = [*front, *([dense] if dense and not any(_is(trial, dense) for trial in front) else [])]
    title = f"Pareto front of {summary['run']}{f', by {sort}' if sort else ''}"
    text = Text().append(f"{title}\n\n", style="bold")
    lines = list(_lines(rows, dense, summary["floor"], width))
    for line, style in lines:
        text.append(f"{line}\n", style=style)
    if sentence := agreement([Plan.parse(trial["plan"]) for trial in front if not _is(trial, dense)]):
        text.append(f"\n{sentence}\n")
    return text.append(f"\n{_legend(rows, lines[0][0], summary['floor'] is not None)}\n", style="dim")


def _lines(
    rows: Sequence[Trial], dense: Trial | None, floor: dict[str, Any] | None, width: int
) -> Iterator[tuple[str, str]]:
    """Yield (line, style) of the heading and of each row; plans too long for a column follow below their rows."""
    plans = [_plan(trial["plan"]) for trial in rows]
    table = _fitting(rows, plans, dense, floor, width)
    beside = max(map(len, plans), default=0) <= LONGEST_PLAN and max(map(len, table)) <= width
    heading, *lines = table if beside else _fitting(rows, [""] * len(plans), dense, floor, width)
    yield heading, "bold"
    for line, trial, plan in zip(lines, rows, plans, strict=False):
        style = "dim" if _is(trial, dense) else ""
        yield line, style
        if not beside:
            yield plan, style
    yield from ((line, "dim") for line in lines[len(rows) :])


def _fitting(
    rows: Sequence[Trial], plans: Sequence[str], dense: Trial | None, floor: dict[str, Any] | None, width: int
) -> list[str]:
    """Return the lines of the table; optional columns are left out, the last one first, until they fit the width.

    The columns of routes go last.
    """
    columns, routes = _possible(rows), {each.column.heading for each in route_columns(rows)}
    while True:
        cells = [
            [_name(trial, dense), plan, *(each.cell(trial) for each in columns)]
            for trial, plan in zip(rows, plans, strict=True)
        ]
        if floor is not None:
            cells.append(["floor", "", *(_of_floor(each, floor) for each in columns)])
        lines = aligned([Column("trial"), Column("plan", "left"), *(each.column for each in columns)], cells)
        optional = [each for each in columns if each.wide_only] or [
            each for each in columns if each.column.heading in routes
        ]
        if max(map(len, lines)) <= width or not optional:
            return lines
        columns.remove(optional[-1])


def _possible(rows: Sequence[Trial]) -> list[FrontColumn]:
    """Return the columns after number and plan that the rows have values for."""
    columns = [each for each in COLUMNS if not each.timed_only or any(each.cell(trial) for trial in rows)]
    place = next(index for index, each in enumerate(columns) if each.column.heading == "FLOPs")
    return [*columns[: place + 1], *route_columns(rows), *columns[place + 1 :]]


def _plan(text: str) -> str:
    """Return the text of a plan; if it is too long for a column, its text with repeated blocks counted, if shorter."""
    return text if len(text) <= LONGEST_PLAN else min(runs_of_text(text), text, key=len)


def _name(trial: Trial, dense: Trial | None) -> str:
    return f"dense {trial['number']}" if _is(trial, dense) else str(trial["number"])


def _cost(trial: Trial) -> float:
    """Return the ratio of the minimized cost."""
    ratio: float = trial["cost_ratio"]
    return ratio


def _is(trial: Trial, other: Trial | None) -> bool:
    return other is not None and bool(trial["number"] == other["number"])


def _of_floor(shown: FrontColumn, floor: dict[str, Any]) -> str:
    return f"{floor['accuracy']:.3f}" if shown.column.heading == ACCURACY else ""


def _legend(rows: Sequence[Trial], heading: str, has_floor: bool) -> str:
    """Return the meaning of the columns that are shown and of the characters that occur in the plans.

    Columns that the terminal is too narrow for are named.
    """
    written = "".join(_plan(trial["plan"]) for trial in rows)
    ops = [each for each in OPS if each[0] in written and (each[0] != "4" or " " in written)]
    shown = {name for name, _ in LEGEND if name in heading} | ({"floor"} if has_floor else set())
    shown |= {"as ..."} if " as " in heading else set()
    meanings = [f"{name}: {meaning}" for name, meaning in LEGEND if name in shown]
    filled = [each.column.heading for each in _possible(rows) if any(each.cell(trial) for trial in rows)]
    hidden = [name for name in filled if name not in heading]
    wider = [f"on wider terminals and in --json: {', '.join(hidden)}"] if hidden else []
    return "\n".join([*meanings, f"plan: first block first; {', '.join(ops)}", *wider])
