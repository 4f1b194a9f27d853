"""Section "Learning": the hypervolume as trials end, and as the workers compute."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plotly import graph_objects as go

from objectives.front import FrontLimits
from objectives.hypervolume import hypervolume
from objectives.objectives import MAXIMIZE, REFERENCE
from search.analysis.summary import point_of
from search.page.charts import chart
from search.page.colors import FRONT, MUTED
from search.page.run_facts import RunFacts
from search.page.section import Chart, Piece, Section, Text
from search.storage.results import TrialRecord


@dataclass(frozen=True)
class Step:
    """The state of a search when one trial has ended."""

    ended: int
    """Number of trials that have ended."""
    seconds: float
    """Seconds of all workers together, for loading, tuning and evaluation."""
    hypervolume: float
    """Above the floor, within the limits."""
    trial: int


def learning(run: RunFacts) -> Section:
    """Return the section."""
    return Section("learning", "How the search learned", list(_pieces(run)))


def _pieces(run: RunFacts) -> Iterator[Piece]:
    steps = history(run.records, run.limits)
    if not any(step.hypervolume for step in steps):
        yield Text("No finished trial is above the floor yet, so there is no hypervolume.")
        return
    yield Text(_words(steps))
    yield Chart(hypervolume_figure(steps), "Hypervolume over the number of ended trials.", half=True)
    yield Chart(hypervolume_figure(steps, over_compute=True), "Hypervolume over the minutes of all workers.", half=True)


def history(records: Sequence[TrialRecord], limits: FrontLimits) -> list[Step]:
    """Return one step per trial in the order in which trials ended.

    Args:
        records: all trials of a run.
        limits: what a trial must keep to be on the front.
    """
    ended = [record for record in records if record.trial.finished is not None and record.trial.state != "running"]
    reference = (limits.floor or REFERENCE[0], REFERENCE[1])
    front: list[tuple[float, float]] = []
    seconds, volume, steps = 0.0, 0.0, []
    for count, record in enumerate(sorted(ended, key=lambda each: (each.trial.finished, each.trial.number)), 1):
        seconds += sum(sum(rung.metrics["seconds"].values()) for rung in record.on("search"))
        if record.is_complete and limits.keeps(point := point_of(record)):
            front = [each for each in front if each[0] > point[0] or each[1] < point[1]]
            front.append(point)
            volume = hypervolume(front, reference, MAXIMIZE)
        steps.append(Step(count, seconds, volume, record.trial.number))
    return steps


def hypervolume_figure(steps: Sequence[Step], over_compute: bool = False) -> go.Figure:
    """Return a chart of the hypervolume over ended trials, or over the minutes that the workers computed."""
    figure = chart(
        "worker-minutes" if over_compute else "trials that have ended", "hypervolume above the floor", height=320
    )
    figure.add_scatter(
        x=[step.seconds / 60 if over_compute else step.ended for step in steps],
        y=[step.hypervolume for step in steps],
        mode="lines",
        line={"shape": "hv", "color": FRONT, "width": 2},
        customdata=[[step.trial] for step in steps],
        hovertemplate="hypervolume %{y:.4f}<br>"
        + ("%{x:.1f} worker-minutes" if over_compute else "%{x} trials")
        + "<br>after trial %{customdata[0]}<extra></extra>",
        showlegend=False,
    )
    figure.add_hline(y=steps[-1].hypervolume, line={"color": MUTED, "width": 1, "dash": "dot"})
    figure.update_yaxes(rangemode="tozero")
    return figure


def _words(steps: Sequence[Step]) -> str:
    """Return what share of the final hypervolume was reached when."""
    last = steps[-1]
    near = next(step for step in steps if step.hypervolume >= 0.99 * last.hypervolume)
    return (
        f"99 % of the present hypervolume, {last.hypervolume:.4f}, was there after {near.ended} of {last.ended} trials "
        f"and {near.seconds / 60:.1f} of {last.seconds / 60:.1f} worker-minutes."
    )
