"""The trials of a search in memory, read once from the database and kept up to date by the controller."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from objectives.front import FrontLimits, Point, front
from search.loop.problem import Problem
from search.storage.results import Results, TrialRecord
from search.storage.study import Row, SearchStudy
from search.storage.timings import Timing, timing_of
from search.strategies.promotion import Peers, least_before_tuning
from search.strategies.strategy import Observation, Proposal
from spaces.plan import Plan
from workers.reports import Floor, Importance, RungReport, TrialState


@dataclass
class Record:
    """One trial with everything that the controller needs to know about it."""

    number: int
    plan: Plan
    origin: str
    probe: bool
    flops_ratio: float
    """Ratio to the cost of the dense plan."""
    state: str = "running"
    accuracies: dict[int, float] = field(default_factory=dict)
    """Finished rung -> accuracy on the search split."""
    attempt: int = 1
    reason: str | None = None
    """Why the trial was stopped or failed."""
    tested: set[int] = field(default_factory=set)
    """Seeds that need no further test: the result on the test split is stored, or the test failed."""
    mapping_module: str | None = None
    """Path of the tuned mapping module, relative to the artifacts folder; None if tuning brought no improvement."""
    margins: tuple[float, ...] | None = None
    """Margins at the cheapest rung, in nats; None unless the strategy reads them."""
    importance: Importance | None = None
    """Importance of the sub-layers, of the dense trial only; None unless the strategy reads it."""
    floor: Floor | None = None
    """Floor of the search split, measured by the dense trial only."""
    resumes: int | None = None
    """Number of the stopped trial of the same plan that this trial continues."""


class History:
    """All trials of a search by number: their states come from the study, their rungs from the results tables."""

    def __init__(self, problem: Problem, study: SearchStudy, results: Results) -> None:
        self._problem = problem
        self._results = results
        self._records: dict[int, Record] = {}
        self._plans: set[Plan] = set()
        self._resumed: set[int] = set()
        """Numbers of the stopped trials that a later trial continues; only the later one is an observation."""
        self._observations: dict[int, Observation] = {}
        """Number -> observation, without trials that a later one continues; a cache."""
        self._changed: set[int] = set()
        """Numbers of the trials whose cached observation is out of date."""
        self._dense: list[int] = []
        self._states: dict[str, set[int]] = {}
        """State -> numbers of the trials."""
        self._peers: dict[int, Peers] = {}
        """Rung -> results of the trials there, built at first use."""
        self._floor: Floor | None = None
        self.timings: list[Timing] = []
        """Of the rungs and tests that were stored when the search was opened."""
        self.version = 0
        """Incremented whenever a trial ends."""
        stored = {record.trial.number: record for record in results.records()}
        for row in study.rows():
            self._insert(self._read(row, stored.get(row.number)))

    def _read(self, row: Row, stored: TrialRecord | None) -> Record:
        record = Record(
            number=row.number,
            plan=row.plan,
            origin=row.attributes["origin"],
            probe=row.attributes.get("probe", False),
            flops_ratio=self._problem.ratio(row.plan),
            state=row.state,
            resumes=row.attributes.get("resumes"),
        )
        self._take_over(record)
        if stored:
            self.timings += map(timing_of, stored.rungs)
            record.accuracies |= {rung.rung: rung.accuracy for rung in stored.on("search")}
            measured = (rung.metrics.get("margins") for rung in stored.on("search"))
            record.margins = next((tuple(values) for values in measured if values is not None), record.margins)
            record.importance = next(_importances(stored), None)
            record.floor = stored.floor
            record.attempt = stored.trial.attempt
            record.reason = stored.trial.reason
            record.tested = set(stored.tests)
            record.mapping_module = stored.mapping_module
        return record

    def _insert(self, record: Record) -> None:
        self._records[record.number] = record
        self._plans.add(record.plan)
        self._states.setdefault(record.state, set()).add(record.number)
        self._floor = self._floor or record.floor
        self._changed.add(record.number)
        if record.plan.is_dense:
            self._dense.append(record.number)
        if record.resumes is not None:
            self._resumed.add(record.resumes)
            self._observations.pop(record.resumes, None)
            self._peers.clear()

    def _take_over(self, record: Record) -> None:
        """Copy the measurements of the trial that a record continues."""
        if record.resumes is not None:
            before = self._records[record.resumes]
            record.accuracies, record.margins = dict(before.accuracies), before.margins

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, plan: Plan) -> bool:
        return plan in self._plans

    def add(self, number: int, plan: Plan, proposal: Proposal) -> None:
        """Add a trial that starts now.

        Args:
            number: number of the trial in the study.
            plan: its plan.
            proposal: the proposal that it was started for.
        """
        record = Record(number, plan, proposal.origin, proposal.probe, self._problem.ratio(plan))
        record.resumes = proposal.resumes
        self._take_over(record)
        self._insert(record)

    def first_rung(self, number: int) -> int:
        """Return the rung a trial starts with: 0, or the first rung that the trial it continues has not finished."""
        resumes = self._records[number].resumes
        return 0 if resumes is None else len(self._records[resumes].accuracies)

    def record(self, number: int) -> Record:
        """Return the record of a trial."""
        return self._records[number]

    @property
    def counts(self) -> Counter[str]:
        """Return the number of trials by state, including stopped trials that a later trial continues."""
        return Counter({state: len(numbers) for state, numbers in self._states.items()})

    def running(self) -> list[int]:
        """Return the numbers of the trials that have not ended."""
        return sorted(self._states.get("running", ()))

    def failed(self) -> list[Record]:
        """Return the failed trials by number."""
        return [self._records[number] for number in sorted(self._states.get("failed", ()))]

    @property
    def num_ended(self) -> int:
        """Return the number of trials that have ended."""
        return len(self._records) - len(self._states.get("running", ()))

    def dense(self) -> list[Record]:
        """Return the trials of the dense plan."""
        return [self._records[number] for number in self._dense]

    def measured(self, number: int, report: RungReport) -> None:
        """Add the report of a finished rung to a trial."""
        record = self._records[number]
        if report.rung in record.accuracies:  # measured again after its worker died
            self._peers.pop(report.rung, None)
        elif report.rung in self._peers:
            self._peers[report.rung].add((report.accuracy, record.flops_ratio))
        record.accuracies[report.rung] = report.accuracy
        if report.margins is not None:
            record.margins = report.margins
        if report.importance is not None:
            record.importance = report.importance
        if report.floor is not None:
            record.floor = report.floor
            self._floor = self._floor or report.floor
        self._changed.add(number)

    def stored(self, number: int, mapping_module: str) -> None:
        """Set the path of a trial's tuned mapping module, relative to the artifacts folder."""
        self._records[number].mapping_module = mapping_module

    def ended(self, number: int, state: TrialState, reason: str | None) -> None:
        """Set the state of a trial that ended; `reason` is None for a complete one."""
        record = self._records[number]
        self._states[record.state].discard(number)
        self._states.setdefault(str(state), set()).add(number)
        record.state, record.reason = str(state), reason
        self._changed.add(number)
        self.version += 1

    def tested(self, number: int, seed: int) -> bool:
        """Return True if a trial needs no further test with this seed of tuning."""
        return seed in self._records[number].tested

    def set_tested(self, number: int, seed: int) -> None:
        """Record that a trial needs no further test with this seed of tuning."""
        self._records[number].tested.add(seed)

    def peers_at(self, rung: int, but: int) -> Peers:
        """Return the results at a rung of all trials except `but` and except those that a later trial continues."""
        if rung in self._records[but].accuracies:
            return Peers(self._points_at(rung, but))
        if rung not in self._peers:
            self._peers[rung] = Peers(self._points_at(rung, but))
        return self._peers[rung]

    def least_at(self, rung: int) -> float:
        """Return the minimum accuracy of a trial at a rung, lowered by what tuning at later rungs can add."""
        least, rungs = self.limits.least_accuracy, self._problem.settings.rungs
        if not least or rungs[-1].tuning_steps <= rungs[rung].tuning_steps:
            return least
        ended = (self._records[number].accuracies for number in self._states.get("complete", ()))
        return least_before_tuning(least, [each[len(rungs) - 1] - each[rung] for each in ended if each[rung] < least])

    def _points_at(self, rung: int, but: int) -> Iterator[tuple[float, float]]:
        """Yield (accuracy, FLOPs ratio) of the trials of `peers_at`."""
        for record in self._records.values():
            if rung in record.accuracies and record.number != but and record.number not in self._resumed:
                yield record.accuracies[rung], record.flops_ratio

    def observation(self, number: int) -> Observation:
        """Return the observation of one trial, for the strategy."""
        self._observe_changed()
        return self._observations.get(number) or self._observe(self._records[number])

    def _observe_changed(self) -> None:
        for number in sorted(self._changed - self._resumed):  # new trials in the order of their numbers
            self._observations[number] = self._observe(self._records[number])
        self._changed.clear()

    def _observe(self, record: Record) -> Observation:
        return Observation(
            number=record.number,
            plan=record.plan,
            origin=record.origin,
            state=record.state,
            flops_ratio=record.flops_ratio,
            accuracies=tuple(accuracy for _, accuracy in sorted(record.accuracies.items())),
            margins=record.margins,
            importance=record.importance,
            floor=None if record.floor is None else record.floor.accuracy,
            full=record.state == "complete",
        )

    def observations(self) -> list[Observation]:
        """Return the observations of all trials in the order of their numbers; only the last one of each plan."""
        self._observe_changed()
        return list(self._observations.values())

    def front(self) -> list[Observation]:
        """Return the Pareto front of the complete trials that keep the limits, cheapest first."""
        return front((o for o in self.observations() if o.full), _point, self.limits)

    @property
    def limits(self) -> FrontLimits:
        """Return the limits that a finished trial must keep to be on the front."""
        return self._problem.front_limits(None if self.floor is None else self.floor.accuracy)

    @property
    def floor(self) -> Floor | None:
        """Return the accuracy reached without looking at the images, or None before the dense trial has measured it."""
        return self._floor

    @property
    def blindness(self) -> str | None:
        """Return why the finished dense trial is not better than the floor, or None if it is or has not finished."""
        if self.floor is None:
            return None
        done = [record.accuracies for record in self.dense() if record.state == "complete" and record.accuracies]
        accuracy = done[0][max(done[0])] if done else math.inf
        if accuracy > self.floor.accuracy:
            return None
        return (
            f"the dense model must be better than the floor, got accuracy {accuracy:.4g}, and "
            f"{self.floor.accuracy:.4g} by {self.floor}"
        )


def _point(observation: Observation) -> Point:
    assert observation.point is not None, "a trial that finished its last rung has an accuracy"
    return observation.point


def _importances(stored: TrialRecord) -> Iterator[Importance]:
    """Yield the importances stored with the rungs of a trial: per block, (attention, FFN)."""
    for rung in stored.on("search"):
        if (blocks := rung.metrics.get("importance")) is not None:
            yield tuple((attention, ffn) for attention, ffn in blocks)
