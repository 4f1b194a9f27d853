"""Computes the notes, figures and attributes that Optuna Dashboard shows beside those stored in the study."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from plotly import graph_objects as go

from search.dashboard_view.texts import study_attributes, study_note, trial_note, trial_numbers
from search.page.follow import Followed
from search.page.importance import importance_figure, importance_of
from search.page.learning import history, hypervolume_figure
from search.page.routed_figures import fronts_figure, kinds_figure
from search.page.run_facts import RunFacts
from search.routing.result import summary_level
from spaces.plan import Plan

HEIGHT = 450
"""Height in pixels that the dashboard gives a figure."""


@dataclass(frozen=True)
class ShownRun:
    """One state of a run."""

    study: str
    """Name of the Optuna study."""
    revision: int
    """Number that grows with every state, from 1."""
    attributes: Mapping[str, Any]
    note: str
    plots: Mapping[str, str]
    """Id of a figure -> its JSON."""
    rungs: Mapping[int, Mapping[int, float]]
    """Number of a trial -> rung -> accuracy on the search split."""
    reasons: Mapping[int, str]
    """Number of a stopped or failed trial -> its reason."""
    digests: Mapping[int, str]
    """Number of a trial -> digest of its plan."""
    plans: Mapping[str, str]
    """Digest -> text of the plan."""
    trial_notes: Mapping[int, str]
    """Number of a trial on the front or of the dense one -> what is added to its note."""
    trial_numbers: Mapping[int, Mapping[str, Any]]
    """Number of such a trial -> further attributes."""


class FollowedRun:
    """The present state of a run, computed again when the run has changed. Several threads may use it."""

    def __init__(self, out: Path, storage: str | None) -> None:
        revisions = count(1)
        self._followed = Followed(out, storage, lambda run: _shown(run, next(revisions)))

    def now(self) -> ShownRun:
        """Return the present state.

        Raises:
            StorageError: the run can't be read.
        """
        return self._followed.now()[1]

    def plan(self, digest: str) -> Plan | None:
        """Return the plan with a digest, or None."""
        text = self.now().plans.get(digest)
        return None if text is None else Plan.parse(text)


def _shown(run: RunFacts, revision: int) -> ShownRun:
    dense = run.summary["dense"]
    described = {trial["number"]: trial for trial in [*run.summary["front"], *([dense] if dense else [])]}
    return ShownRun(
        study=run.results.run.study,
        revision=revision,
        attributes=study_attributes(run),
        note=study_note(run),
        plots={name: figure.to_json() for name, figure in _figures(run)},
        rungs={each.trial.number: {rung.rung: rung.accuracy for rung in each.on("search")} for each in run.records},
        reasons={each.trial.number: each.trial.reason for each in run.records if each.trial.reason},
        digests={each.trial.number: each.trial.digest for each in run.records},
        plans={each.trial.digest: each.trial.plan for each in run.records},
        trial_notes={number: trial_note(run, trial) for number, trial in described.items()},
        trial_numbers={number: trial_numbers(trial) for number, trial in described.items()},
    )


def _figures(run: RunFacts) -> Iterator[tuple[str, go.Figure]]:
    """Yield id and figure of the plots; those whose numbers were not measured are left out."""
    steps = history(run.records, run.limits)
    if any(step.hypervolume for step in steps):
        yield "hypervolume-over-trials", _titled(hypervolume_figure(steps), "Hypervolume over trials")
        over_compute = hypervolume_figure(steps, over_compute=True)
        yield "hypervolume-over-compute", _titled(over_compute, "Hypervolume over the minutes of all workers")
    if (found := importance_of(run.records)) is not None:
        yield "importance-per-block", _titled(importance_figure(found), "Importance per block")
    if run.routing is not None and run.routing["router"]["used"]:
        yield "plan-per-question", _titled(fronts_figure(run.routing), "A plan per question, beside one plan for all")
        if (level := summary_level(run.routing)) is not None:
            yield "plans-per-kind", _titled(kinds_figure(run.routing, level), "Plans of each kind of question")


def _titled(figure: go.Figure, title: str) -> go.Figure:
    """Return a figure with a title, on white also where the dashboard is dark."""
    look = {"paper_bgcolor": "white", "plot_bgcolor": "white", "height": HEIGHT}
    figure.update_layout(title={"text": title, "x": 0.02, "yref": "container", "y": 0.96}, margin={"t": 84}, **look)
    return figure
