"""A section of the page: a title and pieces, which are paragraphs, tables, charts, checks or examples."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Cell = str
"""Text of a cell; `markupsafe.Markup` for HTML."""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    strong: bool = False
    """True for the sentence that a reader must not miss."""


@dataclass(frozen=True)
class Command:
    """A command line, with a button that copies it."""

    line: str
    what: str = ""
    """Purpose of the command, shown before it."""


@dataclass(frozen=True)
class Table:
    """A table; the first column names the row."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str
    points: Sequence[int] = ()
    """Per row, the place of its point in the trace `front` of the chart above; empty if the rows are no points."""
    folded: bool = False
    """True if the table is shown on demand only."""


@dataclass(frozen=True)
class Chart:
    """A chart. On a narrow screen it keeps its height and takes the width that there is."""

    figure: "Figure"
    label: str
    """Alternative text of the chart, for screen readers."""
    choice: str = ""
    """Name on the button that shows this chart, where several charts of a section share one place."""
    half: bool = False
    """True for a chart that shares its row with the next one where there is room."""


@dataclass(frozen=True)
class Check:
    """One reason to believe the result, or not."""

    verdict: str
    """`good`, `warning` or `open`."""
    text: str


@dataclass(frozen=True)
class Checks:
    """A list of checks."""

    checks: Sequence[Check]


@dataclass(frozen=True)
class Tile:
    """One number of the run."""

    value: str
    what: str


@dataclass(frozen=True)
class Tiles:
    """The numbers that one looks at first."""

    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Example:
    """One question with the answers of the dense model and of a plan."""

    image: str
    """Image as a data URL; empty where it can't be read."""
    question: str
    kind: str
    accepted: str
    dense: str
    dense_right: bool
    plan: str
    plan_right: bool


@dataclass(frozen=True)
class Examples:
    """Questions side by side."""

    examples: Sequence[Example]


Piece = Text | Command | Table | Chart | Checks | Tiles | Examples


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    name: str
    """Anchor in the page; with a capital, its name in the navigation."""
    title: str
    pieces: Sequence[Piece] = field(default=())

    def __post_init__(self) -> None:
        if not self.pieces:
            raise ValueError(f"a section without data must say so, got no pieces in {self.name!r}: add a Text")
