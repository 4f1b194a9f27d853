"""Formats rows of text as aligned columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

GAP = "  "


@dataclass(frozen=True)
class Column:
    """Heading of a column, and the side on which its cells are aligned."""

    heading: str
    side: Literal["left", "right"] = "right"


def aligned(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the line of headings and one line per row; no cell is shortened or wrapped.

    Columns whose cells are all empty are left out.

    Args:
        columns: heading and side per column.
        rows: per row, one text per column.
    """
    used = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    table = [[columns[place].heading for place in used], *([row[place] for place in used] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    sides = [columns[place].side for place in used]
    return [
        GAP.join(
            cell.ljust(width) if side == "left" else cell.rjust(width)
            for cell, width, side in zip(cells, widths, sides, strict=True)
        ).rstrip()
        for cells in table
    ]
