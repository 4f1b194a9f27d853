"""Formats the explanation of a trial as tables for the terminal."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from search.analysis.explain import Contribution, Explanation, KindLoss, PartCost
from search.analysis.samples import AnsweredQuestion
from search.console.aligned import Column, aligned
from search.console.front_columns import FLOPS_UNITS, in_units
from spaces.names import shortened

LONGEST = 60
"""Maximum number of characters shown of a question or an answer."""


def explanation_text(found: Explanation) -> Text:
    """Return the text of an explanation: what a trial skips, saves and loses, and the questions that it lost."""
    text = Text(f"Trial {found.trial}: {found.plan}\n\n", style="bold")
    text.append(f"It {'; '.join(found.words)}.\n")
    sections = (
        ("FLOPs per question", list(_costs(found.costs))),
        (f"Accuracy on the {found.split} split", list(_kinds(found.kinds))),
        (f"{len(found.lost)} questions that the dense model answers right and this plan does not", _lost(found.lost)),
    )
    for title, lines in sections:
        text.append(f"\n{title}\n", style="bold")
        text.append("".join(f"{line}\n" for line in lines))
    return text


def _costs(costs: Sequence[PartCost]) -> Iterator[str]:
    total = PartCost("all", sum(each.dense for each in costs), sum(each.plan for each in costs))
    columns = (Column("part", "left"), Column("dense"), Column("this plan"), Column("saved"), Column("of all saved"))
    saved = total.dense - total.plan
    rows = [
        [
            each.part,
            in_units(each.dense, FLOPS_UNITS),
            in_units(each.plan, FLOPS_UNITS),
            f"{1 - each.plan / each.dense:.1%}",
            f"{(each.dense - each.plan) / saved:.1%}" if saved else "",
        ]
        for each in (*costs, total)
    ]
    yield from aligned(columns, rows)


def _kinds(kinds: Sequence[KindLoss]) -> Iterator[str]:
    columns = (Column("kind of question", "left"), Column("questions"), Column("dense"), Column("this plan"),
               Column("difference [95 %]"))  # fmt: skip
    rows = [
        [
            shortened(each.kind, LONGEST) or "all",
            f"{each.questions:,}",
            f"{each.dense:.3f}",
            f"{each.plan:.3f}",
            f"{each.difference:+.3f} [{each.interval[0]:+.3f}, {each.interval[1]:+.3f}]",
        ]
        for each in kinds
    ]
    yield from aligned(columns, rows)


def _lost(lost: Sequence[AnsweredQuestion]) -> list[str]:
    return [
        line
        for each in lost
        for line in (
            f"{each.question_id}, image {shortened(each.image, LONGEST)}: {shortened(each.question, LONGEST)}",
            f"    dense: {shortened(each.dense_answer, LONGEST)!r}, this plan: {shortened(each.answer, LONGEST)!r}, "
            f"accepted: {shortened(' | '.join(dict.fromkeys(each.accepted)), LONGEST)!r}",
        )
    ]


def contributions_text(found: Sequence[Contribution], questions: int) -> Text:
    """Return a table with one row per changed block, largest loss per FLOPs saved first.

    Args:
        found: contributions of the changed blocks.
        questions: number of questions that they were measured on.
    """
    ordered = sorted(found, key=lambda each: -each.lost / max(each.saved, 1e-9))
    columns = (Column("block"), Column("op", "left"), Column("FLOPs saved"), Column("accuracy lost [95 %]"))
    rows = [
        [
            "-".join(map(str, each.blocks)),
            each.text,
            f"{each.saved:.1%}",
            f"{each.lost:+.3f} [{each.interval[0]:+.3f}, {each.interval[1]:+.3f}]",
        ]
        for each in ordered
    ]
    text = Text("\nEffect of each change: the plan without it, not tuned again, compared with the plan\n", style="bold")
    text.append("".join(f"{line}\n" for line in aligned(columns, rows)))
    return text.append(
        f"On {questions} questions of the search split. FLOPs: share of the dense model's.\n", style="dim"
    )
