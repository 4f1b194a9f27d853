"""Draws the explanation of a trial: its blocks, FLOPs saved per part, losses per kind of question, lost questions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, cast

from search.analysis.explain import Explanation, KindLoss, PartCost
from search.analysis.samples import AnsweredQuestion
from search.console.front_columns import FLOPS_UNITS, in_units
from spaces.plan import Plan
from spaces.scope import Group

RUNS, PARTLY, SKIPPED = "#0072b2", "#8fc1e3", "#ffffff"
"""Colours of a sub-layer that runs for all tokens, for some, and for none (Okabe and Ito's palette)."""
MOST_PICTURES = 4
"""Maximum number of lost questions drawn with their images."""


def draw_explanation(found: Explanation, source: Mapping[str, Any], file: Path) -> None:
    """Write the picture of an explanation.

    Args:
        found: the explanation.
        source: the data set as stored in the settings of the run; read for the images of the lost questions.
        file: file to write; its suffix determines the format.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pictures = _images(found.lost[:MOST_PICTURES], source, found.split)
    figure: Any = pyplot.figure(figsize=(8, 6.5 if pictures else 4.6), layout="constrained")
    rows = figure.subfigures(3 if pictures else 2, 1, height_ratios=[1, 2, 1.7] if pictures else [1, 2])
    _draw_blocks(rows[0].subplots(), found)
    left, right = rows[1].subplots(1, 2)
    _draw_costs(left, found.costs)
    _draw_kinds(right, found.kinds, found.split)
    if pictures:
        _draw_lost(rows[2].subplots(1, MOST_PICTURES), found.lost, pictures)
    figure.savefig(file, dpi=150)
    pyplot.close(figure)


def _draw_blocks(axes: Any, found: Explanation) -> None:
    from matplotlib.patches import Rectangle

    plan = Plan.parse(found.plan)
    groups = list(Group)
    for index, block in enumerate(plan.blocks):
        for row, runs in enumerate((block.runs_ffn, block.runs_attention)):
            share = sum(runs(group) for group in groups) / len(groups)
            color = RUNS if share == 1 else PARTLY if share else SKIPPED
            hatch = None if share == 1 else "//" if share else "xx"
            axes.add_patch(Rectangle((index, row), 0.92, 0.9, facecolor=color, edgecolor="#555", hatch=hatch))
    axes.set(xlim=(-0.1, len(plan)), ylim=(-0.1, 2), xlabel="block, from 0")
    axes.set_yticks([0.45, 1.45], ["FFN", "attention"])
    axes.set_title(fill(f"Trial {found.trial} {'; '.join(found.words)}", 100), loc="left", fontsize=9)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _draw_costs(axes: Any, costs: Sequence[PartCost]) -> None:
    names = [each.part for each in costs]
    axes.barh(names, [each.dense for each in costs], color="#dddddd", edgecolor="#555", label="dense")
    axes.barh(names, [each.plan for each in costs], height=0.45, color=RUNS, label="this plan")
    for place, each in enumerate(costs):
        axes.text(each.dense, place, f" -{1 - each.plan / each.dense:.0%}", va="center", fontsize=7)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_title("FLOPs per question", loc="left", fontsize=9)
    axes.xaxis.set_major_formatter(lambda value, _: in_units(value, FLOPS_UNITS))
    axes.tick_params(axis="x", labelrotation=30, labelsize=7)
    axes.legend(frameon=False, fontsize=7)


def _draw_kinds(axes: Any, kinds: Sequence[KindLoss], split: str) -> None:
    names = [each.kind or "all" for each in kinds]
    differences = [each.difference for each in kinds]
    low = [each.difference - each.interval[0] for each in kinds]
    high = [each.interval[1] - each.difference for each in kinds]
    axes.errorbar(differences, names, xerr=[low, high], fmt="o", color="#d55e00", capsize=2, markersize=4)
    axes.axvline(0, color="#555", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_title(f"accuracy against dense on {split}, 95 %", loc="left", fontsize=9)
    axes.tick_params(labelsize=7)


def _images(lost: Sequence[AnsweredQuestion], source: Mapping[str, Any], split: str) -> list[Any]:
    """Return the first image of each question; empty if the data set can no longer be read."""
    if not lost:
        return []
    from workers.data.load_split import load_split
    from workers.sources import DataSource, Split

    try:
        samples = load_split(DataSource.model_validate(source), cast(Split, split)).samples
    except ValueError:
        return []
    return [samples[int(each.question_id.rpartition("-")[2])].image for each in lost]


def _draw_lost(axes: Any, lost: Sequence[AnsweredQuestion], images: Sequence[Any]) -> None:
    for place, each in enumerate(axes):
        each.set_axis_off()
        if place >= len(images):
            continue
        question = lost[place]
        each.imshow(images[place])
        said = f"dense: {question.dense_answer}\nthis plan: {question.answer}"
        each.set_title(f"{fill(question.question[:90], 26)}\n{said}", fontsize=7, loc="left")
