"""Section "Importance": what every sub-layer contributes to the dense model, and what single changes cost."""

from collections.abc import Iterator, Sequence

from plotly import graph_objects as go

from search.page.charts import chart, pattern_of
from search.page.colors import FRONT, GOOD, MUTED, REFERENCE, TRIAL
from search.page.run_facts import RunFacts
from search.page.section import Chart, Piece, Section, Table, Text
from search.storage.results import TrialRecord
from search.strategies.scan import changed
from workers.reports import Importance

MARKERS = (("circle", TRIAL), ("square", FRONT), ("diamond", GOOD), ("triangle-up", REFERENCE), ("x", MUTED))
"""Symbols and colours of the changes, in the order in which they occur."""


def importance(run: RunFacts) -> Section:
    """Return the section."""
    return Section("importance", "Importance and single changes", list(_pieces(run)))


def _pieces(run: RunFacts) -> Iterator[Piece]:
    found = importance_of(run.records)
    if found is None:
        yield Text("Importance was not measured: the strategy of this run does not read it.")
    else:
        yield Chart(importance_figure(found), "Importance of attention and FFN per block, in nats.")
        yield Text(
            "Importance estimates the gain in log-likelihood of the right answers from keeping a sub-layer, by "
            "gradients of random gates in the dense model. It ranks sub-layers before any plan is run."
        )
        rows = [[str(block), f"{own[0]:.4g} nats", f"{own[1]:.4g} nats"] for block, own in enumerate(found)]
        yield Table(("block", "attention", "FFN"), rows, "Importance per block", folded=True)
    singles = _singles(run)
    if not singles or run.dense is None:
        yield Text("No plan that changes a single block was measured.")
        return
    questions = run.dense.on("search")[0].questions
    yield Chart(_scan(run.dense, singles), "Loss in accuracy of the plans that change one block.")
    yield Text(f"Plans that change one block against the dense model, on the {questions} questions of the first rung.")


def importance_of(records: Sequence[TrialRecord]) -> Importance | None:
    """Return the importance of every block's attention and FFN in nats, or None if it was not measured."""
    measured = (rung.metrics.get("importance") for record in records if record.plan.is_dense for rung in record.rungs)
    return next((tuple((pair[0], pair[1]) for pair in found) for found in measured if found is not None), None)


def importance_figure(found: Importance) -> go.Figure:
    """Return a chart of the importance per block."""
    figure = chart("block, from 0", "importance in nats", height=300, barmode="group", bargap=0.25)
    looks = (("attention", TRIAL, ""), ("FFN", FRONT, "/"))
    for place, (name, color, pattern) in enumerate(looks):
        figure.add_bar(
            x=list(range(len(found))),
            y=[pair[place] for pair in found],
            name=name,
            marker={"color": color, "pattern": pattern_of(pattern)},
            hovertemplate=f"{name} of block %{{x}}: %{{y:.3g}} nats<extra></extra>",
        )
    figure.update_xaxes(showgrid=False, dtick=max(1, len(found) // 12))
    return figure


def _singles(run: RunFacts) -> list[TrialRecord]:
    return [record for record in run.records if record.plan.num_changed == 1 and record.on("search")]


def _scan(dense: TrialRecord, singles: Sequence[TrialRecord]) -> go.Figure:
    figure = chart("block, from 0", "accuracy against dense, points", height=300)
    whole = dense.on("search")[0].accuracy
    by_change: dict[str, list[tuple[int, float]]] = {}
    for record in singles:
        block, level = changed(record.plan)
        lost = 100 * (record.on("search")[0].accuracy - whole)
        by_change.setdefault(f"{level.name} {level.pruning_mark}".strip(), []).append((block, lost))
    for number, (name, points) in enumerate(sorted(by_change.items())):
        symbol, color = MARKERS[number % len(MARKERS)]
        figure.add_scatter(
            x=[block for block, _ in points],
            y=[lost for _, lost in points],
            mode="markers",
            name=name,
            marker={"symbol": symbol, "color": color, "size": 9},
            hovertemplate=f"{name} of block %{{x}}: %{{y:+.1f}} points<extra></extra>",
        )
    figure.add_hline(y=0, line={"color": MUTED, "width": 1})
    figure.update_xaxes(range=[-0.6, len(dense.plan) - 0.4], dtick=max(1, len(dense.plan) // 12))
    return figure
