"""Draws a routed run: the adaptive front beside the static one, and the plans of each kind of question."""

from typing import Any

from plotly import graph_objects as go
from plotly.colors import sample_colorscale

from search.page.charts import chart
from search.page.colors import FRONT, TRIAL


def fronts_figure(found: dict[str, Any]) -> go.Figure:
    """Return accuracy against mean FLOPs on the test split, with one plan for all and with a plan per question.

    Args:
        found: the stored result of `search.route`.
    """
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


def kinds_figure(found: dict[str, Any], level: dict[str, Any]) -> go.Figure:
    """Return one bar per kind of question, divided into the shares of its questions that each plan answers.

    Args:
        found: the stored result of `search.route`.
        level: the comparison of the result whose plans are drawn.
    """
    ratios = {**_static_ratios(found), **_ratios(found["router"])}
    shares = level["adaptive"]["plans"]
    used = sorted({int(trial) for each in shares.values() for trial in each}, key=lambda trial: ratios[trial])
    colors = sample_colorscale("Viridis", [rank / max(len(used) - 1, 1) for rank in range(len(used))])
    figure = chart("share of the test questions", "", height=110 + 34 * len(shares), barmode="stack")
    for trial, color in zip(used, colors, strict=True):
        name = f"trial {trial}, {ratios[trial]:.2f} of dense"
        figure.add_bar(
            x=[{int(key): share for key, share in each.items()}.get(trial, 0.0) for each in shares.values()],
            y=[kind or "all" for kind in shares],
            orientation="h",
            name=name,
            marker={"color": color},
            hovertemplate=f"<b>%{{y}}</b><br>{name}: %{{x:.0%}}<extra></extra>",
        )
    figure.update_yaxes(autorange="reversed", title=None)
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    return figure


def _ratios(router: dict[str, Any]) -> dict[int, float]:
    return dict(zip(router["trials"], router["ratios"], strict=True))


def _static_ratios(found: dict[str, Any]) -> dict[int, float]:
    return {point["trial"]: point["search"]["flops_ratio"] for point in found["static"]}


def _hover(name: str, point: dict[str, Any]) -> str:
    low, high = point["test"]["interval"]
    what = f"trial {point['trial']}" if "trial" in point else f"router at price {point['price']:.3g}"
    return (
        f"<b>{name}</b>, {what}<br>accuracy {point['test']['accuracy']:.3f} [{low:.3f}, {high:.3f}]<br>"
        f"{point['test']['flops_ratio']:.1%} of the dense FLOPs"
    )
