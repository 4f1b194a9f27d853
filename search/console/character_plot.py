"""Draws points of accuracy against a cost with characters, for a terminal."""

from collections.abc import Sequence

Point = tuple[float, float]
"""(ratio of the cost, accuracy)."""
TRIAL, FRONT, DENSE = "·", "●", "◆"
"""Marks of a finished trial, of a member of the front, and of the dense model."""


def character_plot(
    layers: Sequence[tuple[str, Sequence[Point]]], low: float, width: int = 48, height: int = 8, cost: str = "FLOPs"
) -> list[str]:
    """Return the lines of a plot with both axes, the cost from 0 to 100 % of the dense model's.

    Args:
        layers: mark and points; later ones are drawn over earlier ones. Points below `low` are left out.
        low: accuracy at the lower end of the axis; the upper end is the highest accuracy of a point.
        width: number of columns of the drawing area.
        height: number of rows of the drawing area, at least 2.
        cost: name of the cost.
    """
    high = max((value for _, points in layers for _, value in points), default=1.0)
    extent = high - low if high > low else 1.0
    rows = [[" "] * width for _ in range(height)]
    for mark, points in layers:
        for ratio, value in points:
            if value >= low:
                column = round(min(1.0, ratio) * (width - 1))
                rows[round((high - value) / extent * (height - 1))][column] = mark
    labels = {0: f"{low + extent:.2f}", height - 1: f"{low:.2f}"}
    drawn = [f"{labels.get(row, ''):>6} │{''.join(cells).rstrip()}" for row, cells in enumerate(rows)]
    ends, title = ("0 %", "100 %"), f"{cost} of dense"
    scale = f"{ends[0]}{title.center(width - len(''.join(ends)))}{ends[1]}"
    return [*drawn, f"{'':>6} └{'─' * width}", f"{'':>8}{scale}"]
