"""The look that all charts of the page share."""

from typing import Any

from plotly import graph_objects as go

from search.page.colors import GRID, INK, MUTED, STRIPES

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"
HEIGHT = 420
"""Height of a chart in pixels."""


def chart(x: str, y: str, height: int = HEIGHT, **layout: Any) -> go.Figure:
    """Return an empty figure.

    Args:
        x, y: titles of the axes with their units.
        height: in pixels.
        layout: further fields of the layout.
    """
    axis = {
        "gridcolor": GRID, "zeroline": False, "linecolor": GRID, "automargin": True, "ticks": "outside",
        "tickcolor": GRID,
    }  # fmt: skip
    title = {"standoff": 10, "font": {"size": 12, "color": MUTED}}
    figure = go.Figure()
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 8, "r": 12, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 12, "color": INK},
        hoverlabel={"font": {"family": MONO, "size": 12}, "align": "left"},
        hovermode="closest",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 12}},
        xaxis=axis | {"title": title | {"text": x}},
        yaxis=axis | {"title": title | {"text": y}},
    )
    figure.update_layout(**layout)
    return figure


def note(figure: go.Figure, level: float, text: str, color: str, dash: str) -> None:
    """Draw a horizontal line with a text above its right end."""
    figure.add_hline(y=level, line={"color": color, "width": 1.2, "dash": dash})
    figure.add_annotation(
        x=1, xref="paper", y=level, text=text, showarrow=False, xanchor="right", yanchor="bottom",
        font={"size": 11, "color": color},
    )  # fmt: skip


def pattern_of(shape: str) -> dict[str, Any]:
    """Return the pattern of a coloured bar, which distinguishes bars without their colours; "" for none."""
    return {"shape": shape, "size": 6, "solidity": 0.28, "fillmode": "overlay", "fgcolor": STRIPES}
