"""The live view of a search on a terminal: states, front, hypervolume, rate, last failure, and one ETA."""

import time
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search.console.character_plot import DENSE, FRONT, TRIAL, Point, character_plot
from search.console.durations import clock, rate

PLOT_ROWS = 18
"""Fewest rows of a terminal on which the front is drawn."""
STATES = ("complete", "stopped", "failed", "running")


@dataclass(frozen=True)
class View:
    """One state of the display. Updates replace it as a whole, because another thread draws it."""

    budget: int
    counts: dict[str, int] = field(default_factory=dict)
    """State -> number of trials."""
    tests: tuple[int, int] = (0, 0)
    """Number of final tests that have ended, and of all; (0, 0) before they begin."""
    trials: tuple[Point, ...] = ()
    """Finished trials within the limits."""
    front: tuple[Point, ...] = ()
    dense: tuple[Point, ...] = ()
    floor: float = 0.0
    """Accuracy that is reached without looking at the pictures; 0 where it is not known."""
    hypervolume: float | None = None
    new_trials: int = 0
    """Number of trials that have ended since the start."""
    seconds: float = 0.0
    """Seconds that they took on the clock."""
    end: float | None = None
    """Predicted end in seconds of the monotonic clock; None where it is not known."""
    failure: str | None = None
    """The last trial that failed, with its reason."""
    cost: str = "FLOPs"
    """Name of the minimized cost."""
    now: str = ""
    """Line about the present work, such as loading the model or a running trial."""


class LiveView:
    """Draws a view several times per second, below the lines that are printed; a context manager."""

    def __init__(self, console: Console, view: View) -> None:
        self.view = view
        self._console, self._begin = console, time.monotonic()
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=4, transient=False)

    def __enter__(self) -> "LiveView":
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def _draw(self) -> RenderableType:
        return draw(self.view, self._console.width, self._console.height, time.monotonic() - self._begin)


def draw(view: View, width: int, height: int, elapsed: float) -> RenderableType:
    """Return a view as lines for a terminal; none is longer than the terminal is wide.

    Args:
        view: the view to draw.
        width, height: size of the terminal in characters.
        elapsed: seconds since the start.
    """
    parts: list[RenderableType] = [_bars(view)]
    if height >= PLOT_ROWS and view.trials:
        layers = [(TRIAL, view.trials), (FRONT, view.front), (DENSE, view.dense)]
        parts += [Text(line) for line in character_plot(layers, view.floor, min(48, width - 12), cost=view.cost)]
        parts.append(Text(f"{'':>8}{FRONT} front  {TRIAL} other finished trials  {DENSE} dense", style="dim"))
    if counts := ", ".join(f"{view.counts[state]} {state}" for state in STATES if view.counts.get(state)):
        parts.insert(1, Text(counts))
    parts.append(Text(", ".join(_numbers(view, elapsed))))
    if view.now:
        parts.append(Text(view.now, style="dim", no_wrap=True, overflow="ellipsis"))
    if view.failure:
        parts.append(Text(f"last failure: {view.failure}", style="yellow"))
    return Group(*parts)


def _bars(view: View) -> Table:
    ended = sum(view.counts.get(state, 0) for state in STATES[:-1])
    bars = Table.grid(padding=(0, 1))
    bars.add_row("trials", ProgressBar(view.budget, ended, width=20), Text(f"{ended} of {view.budget}"))
    done, total = view.tests
    if total:
        bars.add_row(
            "tests", ProgressBar(total, done, width=20), Text(f"{done} of {total}, plans of the front and seeds")
        )
    return bars


def _numbers(view: View, elapsed: float) -> list[str]:
    """Return hypervolume, rate, time and ETA as texts; those that are not known are left out."""
    found = []
    if view.hypervolume is not None:
        found.append(f"hypervolume {view.hypervolume:.4f} above accuracy {view.floor:.3g}")
    if speed := rate(view.new_trials, view.seconds):
        found.append(speed)
    found.append(f"{clock(elapsed)} elapsed")
    if view.end is not None:
        found.append(f"ETA {clock(view.end - time.monotonic())}, final tests included")
    return found
