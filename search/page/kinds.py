"""Section "Kinds of questions": what the suggested plans lose, kind by kind."""

from collections.abc import Iterator

from plotly import graph_objects as go

from search.analysis.explain import KindLoss, kind_losses
from search.page.charts import chart
from search.page.colors import FRONT, GOOD, MUTED, REFERENCE, TRIAL
from search.page.numbers import points
from search.page.run_facts import RunFacts
from search.page.section import Chart, Piece, Section, Table, Text

LOOKS = (("circle", TRIAL), ("square", FRONT), ("diamond", GOOD), ("triangle-up", REFERENCE))
"""Symbol and colour per suggested plan."""


def kinds(run: RunFacts) -> Section:
    """Return the section."""
    return Section("kinds", "What kinds of questions lose", list(_pieces(run)))


def _pieces(run: RunFacts) -> Iterator[Piece]:
    losses, split = {}, ""
    for choice in run.choices:
        if answered := run.answered(choice.record):
            losses[choice.record.trial.number] = kind_losses(answered)
            split = answered[0].split
    if not losses:
        yield Text("No answers of a suggested plan are stored yet.")
        return
    order = [loss.kind for loss in max(losses.values(), key=len)]
    if len(order) == 1:
        yield Text("The questions of this data set have no kinds.")
    yield Chart(
        _figure(losses, order), f"Difference in accuracy to the dense model on the {split} split, per kind of question."
    )
    yield Text(f"Paired by question on the {split} split; bars are 95 % intervals. Where a bar holds 0, no loss is "
               "shown.")  # fmt: skip
    yield _table(losses, order)


def _figure(losses: dict[int, list[KindLoss]], order: list[str]) -> go.Figure:
    figure = chart("accuracy against dense, points", "", height=110 + (14 + 14 * len(losses)) * len(order))
    for place, (number, own) in enumerate(losses.items()):
        symbol, color = LOOKS[place % len(LOOKS)]
        rows = [order.index(loss.kind) + 0.16 * (place - (len(losses) - 1) / 2) for loss in own]
        x = [100 * loss.difference for loss in own]
        figure.add_scatter(
            x=x,
            y=rows,
            error_x={
                "array": [100 * loss.interval[1] - value for loss, value in zip(own, x, strict=True)],
                "arrayminus": [value - 100 * loss.interval[0] for loss, value in zip(own, x, strict=True)],
                "thickness": 1.2,
                "width": 3,
                "color": color,
            },
            mode="markers",
            name=f"trial {number}",
            marker={"symbol": symbol, "color": color, "size": 8},
            hovertext=[_hover(number, loss) for loss in own],
            hoverinfo="text",
        )
    figure.add_vline(x=0, line={"color": MUTED, "width": 1})
    figure.update_yaxes(
        tickvals=list(range(len(order))), ticktext=[kind or "all" for kind in order], autorange="reversed", title=None
    )
    return figure


def _hover(number: int, loss: KindLoss) -> str:
    low, high = loss.interval
    return (
        f"<b>{loss.kind or 'all kinds'}</b>, {loss.questions} questions<br>dense {loss.dense:.3f}, trial {number} "
        f"{loss.plan:.3f}<br>{points(loss.difference)} points [{points(low)}, {points(high)}]"
    )


def _table(losses: dict[int, list[KindLoss]], order: list[str]) -> Table:
    by_kind = {number: {loss.kind: loss for loss in own} for number, own in losses.items()}
    first = next(iter(by_kind.values()))
    rows = []
    for kind in order:
        cells = [f"{own[kind].plan:.3f} ({points(own[kind].difference)} points)" for own in by_kind.values()]
        rows.append([kind or "all", str(first[kind].questions), f"{first[kind].dense:.3f}", *cells])
    headings = ("kind", "questions", "dense", *(f"trial {number}" for number in losses))
    return Table(headings, rows, "Accuracy per kind, 0 to 1", folded=True)
