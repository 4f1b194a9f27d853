"""The facts about a run that the sections of the page share, read once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any

from objectives.front import FrontLimits
from search.analysis.choices import Choice, choices, first_choice
from search.analysis.samples import AnsweredQuestion, answered_questions
from search.analysis.summary import dense_of, limits_of, members_of, summarize
from search.routing.candidates import RoutingError
from search.routing.store import stored_result
from search.storage.database_url import StorageError, shown
from search.storage.results import Results, TrialRecord
from spaces.plan import Plan


def options_of(out: Path, storage: str | None) -> str:
    """Return the options that name a run on a command line, its database without a password."""
    named = f" --storage {quote(shown(storage))}" if storage else ""
    return f"--out {quote(str(out))}{named}"


@dataclass(frozen=True)
class RunFacts:
    """One run as it was when it was read."""

    results: Results
    where: str
    """Options that name the run on a command line: `--out runs/first`."""

    @cached_property
    def records(self) -> Sequence[TrialRecord]:
        """Return all trials by number."""
        return self.results.records()

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Return what `search.report --json` prints."""
        return summarize(self.results)

    @cached_property
    def limits(self) -> FrontLimits:
        """Return what a trial must keep to be on the front."""
        return limits_of(self.results.run, self.records)

    @cached_property
    def dense(self) -> TrialRecord | None:
        """Return the complete trial of the dense model, or None."""
        return dense_of(self.records)

    @cached_property
    def front(self) -> Sequence[TrialRecord]:
        """Return the trials of the front, cheapest first."""
        return members_of(self.records, self.limits)

    @cached_property
    def choices(self) -> Sequence[Choice]:
        """Return the trials that are suggested for export."""
        return choices(self.records, self.limits)

    @property
    def first_choice(self) -> Choice | None:
        """Return the choice of the suggested command, or None without choices."""
        return first_choice(self.choices)

    @cached_property
    def plans(self) -> Sequence[Plan]:
        """Return the plans of the front without the dense one, cheapest first."""
        return [record.plan for record in self.front if not record.plan.is_dense]

    @cached_property
    def routing(self) -> dict[str, Any] | None:
        """Return the result of `search.route`; None without one, or with one of another version."""
        try:
            return stored_result(self.results)
        except RoutingError:
            return None

    @cached_property
    def decisions(self) -> dict[str, list[int]]:
        """Return split -> number of the trial that the router gives each question; empty without a router."""
        row = None if self.routing is None else self.results.routing()
        return {} if row is None else row.decisions

    @property
    def metric(self) -> str:
        """Return the name of the metric."""
        return self.summary["settings"]["metric"] or "accuracy"

    @property
    def num_rungs(self) -> int:
        """Return the number of rungs of a full trial."""
        return len(self.summary["settings"]["rungs"])

    def described(self, number: int) -> dict[str, Any]:
        """Return a trial of the front, or the dense one, as in the summary."""
        shown = [*self.summary["front"], *([self.summary["dense"]] if self.summary["dense"] else [])]
        found: dict[str, Any] = next(trial for trial in shown if trial["number"] == number)
        return found

    def answered(self, record: TrialRecord) -> Sequence[AnsweredQuestion]:
        """Return the questions of a trial on its last split with the seed of the search; none if not stored."""
        if self.dense is None:
            return []
        try:
            found = list(answered_questions(self.results, self.dense, record))
        except StorageError:
            return []
        last = [each for each in found if each.split == found[-1].split]
        return [each for each in last if each.seed == last[0].seed]

    def export_command(self, number: int) -> str:
        """Return the command that exports a trial."""
        return f"python -m search.export {self.where} --trial {number} --to DIR"
