"""Section "Questions": what a plan per question saves, beside one plan for all."""

from collections.abc import Iterator
from typing import Any

from plotly import graph_objects as go

from search.page.charts import chart
from search.page.colors import FRONT, TRIAL
from search.page.run_facts import RunFacts
from search.page.section import Chart, Command, Piece, Section, Table, Text
from search.routing.result import LEVEL, summary_level


def questions(run: RunFacts) -> Section:
    """Return the section."""
    return Section("questions", "What a plan per question saves", list(_pieces(run)))


def _pieces(run: RunFacts) -> Iterator[Piece]:
    found = run.routing
    if found is None:
        yield Text("No router was trained on this run.")
        if run.front:
            yield Command(f"python -m search.route {run.where}", "Learn which plan answers which question")
        return
    router = found["router"]
    if not router["used"]:
        yield Text("A router was trained. It knows nothing that mixing plans at random does not: one plan serves all.")
        return
    level = summary_level(found)
    if level is not None:
        yield Text(_summary(level), strong=True)
    yield Chart(_figure(found), "Accuracy against mean FLOPs on the test split: one plan, and a plan per question.")
    yield Text(
        f"A router of {len(router['trials'])} plans reads the {router['inputs']} of a question before the language "
        "model runs. Fronts are chosen on the search split and measured on the test split, with the router's FLOPs."
    )
    yield _levels(found["levels"])
    if level is not None:
        yield _kinds(level)


def _summary(level: dict[str, Any]) -> str:
    routed, (low, high) = level["adaptive"], level["adaptive"]["difference_interval"]
    return (
        f"At {LEVEL:.0%} of the dense accuracy, by the search split, a plan per question saves "
        f"{routed['saved']:.0%} of the FLOPs of the best single plan; accuracy on test {routed['accuracy']:.3f}, "
        f"{100 * routed['difference']:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]."
    )


def _figure(found: dict[str, Any]) -> go.Figure:
    figure = chart("mean FLOPs per question, share of dense", "accuracy on the test split")
    for name, key, color, symbol in (
        ("one plan for all", "static", TRIAL, "square"),
        ("a plan per question", "adaptive", FRONT, "circle"),
    ):
        points = [point["test"] for point in found[key]]
        figure.add_scatter(
            x=[point["flops_ratio"] for point in points],
            y=[point["accuracy"] for point in points],
            mode="lines+markers",
            name=name,
            marker={"color": color, "symbol": symbol, "size": 7},
            line={"color": color, "width": 1.2},
            hovertext=[_hover(name, point) for point in found[key]],
            hoverinfo="text",
        )
    return figure


def _hover(name: str, point: dict[str, Any]) -> str:
    low, high = point["test"]["interval"]
    what = f"trial {point['trial']}" if "trial" in point else f"router at price {point['price']:.3g}"
    return (
        f"<b>{name}</b>, {what}<br>accuracy {point['test']['accuracy']:.3f} [{low:.3f}, {high:.3f}]<br>"
        f"{point['test']['flops_ratio']:.1%} of the dense FLOPs"
    )


def _levels(levels: list[dict[str, Any]]) -> Table:
    rows = []
    for level in levels:
        one, routed = level["static"], level["adaptive"]
        low, high = routed["saved_interval"]
        rows.append([
            f"{level['share_of_dense']:.0%}", f"{one['accuracy']:.3f}", f"{one['flops_ratio']:.3f}",
            f"{routed['accuracy']:.3f}", f"{routed['flops_ratio']:.3f}",
            f"{routed['saved']:.1%} [{low:.1%}, {high:.1%}]",
        ])  # fmt: skip
    headings = ("of dense", "accuracy, one plan", "FLOPs", "accuracy, routed", "FLOPs", "saved [95 %]")
    return Table(headings, rows, "The cheapest way to keep a share of the dense accuracy, by the search split")


def _kinds(level: dict[str, Any]) -> Table:
    plans = level["adaptive"]["plans"]
    rows = [
        [kind or "all", ", ".join(f"{share:.0%} trial {trial}" for trial, share in shares.items())]
        for kind, shares in plans.items()
    ]
    return Table(("kind", "plans of its questions"), rows, f"Which kinds take which plan, at {LEVEL:.0%} of dense")
