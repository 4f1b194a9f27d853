"""Passes the jobs of the controller to the trials of Ray Tune, and their results or losses back."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from search.console.progress import Progress
from search.dispatch.virtual_clock import VirtualClock
from search.loop.controller import Controller
from search.loop.job import Job
from workers.reports import TrialReport, TrialState

T = TypeVar("T")


@dataclass
class Attempt:
    """One attempt at a job, which Tune runs as one of its trials."""

    job: Job
    begin: float
    """Time (`time.monotonic`) at which its worker had started."""
    since: float | None
    """Time since which its worker computes; None while its result waits for its turn."""
    seconds: float = 0.0
    """Seconds that its worker had computed by then."""
    report: TrialReport | None = None
    """The last that arrived."""
    pass_on: Callable[[], None] | None = None
    """Passes the result that waits on to Tune; None if none waits."""

    def pause(self) -> None:
        """Stop the clock of the worker."""
        if self.since is not None:
            self.seconds, self.since = self.seconds + time.monotonic() - self.since, None


@dataclass(frozen=True)
class Loss:
    """A worker that died during a job."""

    job: Job
    seconds: float
    """Seconds that it had computed."""
    node_gone: bool
    """True if a machine of the cluster was lost with it."""


class Dispatcher:
    """Passes the jobs of the controller to Tune trials, and their results back.

    With a virtual clock, results and losses wait until it is their turn, and each job is proposed when the clock says
    that its worker becomes free. Without one they are passed on as they arrive.
    """

    def __init__(
        self,
        controller: Controller,
        progress: Progress,
        grace_seconds: float,
        lost_since: Callable[[float], bool],
        clock: VirtualClock | None,
    ) -> None:
        """Start without jobs.

        Args:
            controller: provides the jobs and receives their reports.
            progress: displays the jobs.
            grace_seconds: seconds beyond the time limit of a trial after which its worker ends its process.
            lost_since: returns True if a machine was lost since a time of `time.monotonic`.
            clock: orders the results; None to pass them on as they arrive.
        """
        self._controller, self._progress, self._grace_seconds = controller, progress, grace_seconds
        self._lost_since, self._clock = lost_since, clock
        self._ready: deque[Job] = deque()
        """Jobs that start next: first those that run again."""
        self._live: dict[str, Attempt] = {}
        """Tune's id -> running attempt."""
        self._losses: list[Loss] = []
        """Losses that wait for their turn."""
        self._reported: dict[object, int] = {}
        """Key of a running job -> number of its rungs that the controller knows."""
        self.failure: Exception | None = None
        """Error after which no job is started, such as an unavailable database or a lost lease."""

    def attempt(self, act: Callable[[], T], otherwise: T) -> T:
        """Return `act()`, or `otherwise` if it raises or an earlier call raised.

        The first error is kept in `failure`, since Tune would only log it and continue.
        """
        if self.failure is None:
            try:
                return act()
            except Exception as error:  # kept and raised after Tune has ended; Tune would swallow it
                self.failure = error
        return otherwise

    @property
    def in_order(self) -> bool:
        """Return True if results wait for their turn on a virtual clock."""
        return self._clock is not None

    @property
    def finished(self) -> bool:
        """Return True if no job runs and none will start."""
        return not (self._ready or self._live or self._losses) and self._controller.finished

    def start(self, tune_id: str) -> Job | None:
        """Return the job of a new Tune trial, or None if none can start now."""
        self._propose()
        job = self._ready.popleft() if self._ready else None
        if job is None and self._clock is None:
            job = self._controller.next()
        if job is not None:
            now = time.monotonic()
            self._live[tune_id] = Attempt(job, now, now)
            self._progress.started(job)
        return job

    def _propose(self) -> None:
        """Let the controller propose a job for every idle worker of the virtual clock."""
        while self._clock is not None and self._clock.has_room and (job := self._controller.next()) is not None:
            self._clock.start(job)
            self._ready.append(job)

    def worker_ready(self, tune_id: str) -> None:
        """Start the clock of a Tune trial: its worker has started, and the start does not count as its time."""
        if tune_id in self._live:
            now = time.monotonic()
            self._live[tune_id].begin = self._live[tune_id].since = now

    def arrived(self, tune_id: str, report: str, pass_on: Callable[[], None]) -> None:
        """Keep the result of a step until its turn.

        Args:
            tune_id: id of the Tune trial.
            report: the `TrialReport` so far, as JSON.
            pass_on: lets Tune process the result, which calls `received` or `ended`.
        """
        attempt = self._live[tune_id]
        attempt.pause()
        attempt.report, attempt.pass_on = TrialReport.model_validate_json(report), pass_on

    def pass_on(self) -> bool:
        """Pass on the result whose turn it is; return False if it has not arrived."""
        self.attempt(self._settle, None)
        for attempt in self._live.values():
            if attempt.pass_on is not None and self._is_due(attempt):
                act, attempt.pass_on = attempt.pass_on, None
                act()
                return True
        return False

    def _is_due(self, attempt: Attempt) -> bool:
        if self._clock is None or self.failure is not None or attempt.job.key == self._clock.next:
            return True
        report, job = attempt.report, attempt.job
        assert report is not None, "only results that have arrived are passed on"
        repeated = len(report.rungs) <= self._reported.get(job.key, 0) and report.state is TrialState.STOPPED
        return repeated  # measured again after its worker died: it changes nothing

    def received(self, tune_id: str) -> bool:
        """Pass the rung of a Tune trial that arrived last to the controller; return True if the trial continues."""
        attempt = self._live[tune_id]
        job, report = attempt.job, attempt.report
        assert report is not None, "its result has arrived"
        attempt.since = time.monotonic()
        if len(report.rungs) <= self._reported.get(job.key, 0):
            return True
        self._reported[job.key] = len(report.rungs)
        self._progress.rung(job, report.rungs[-1])
        goes_on = self._controller.rung(job, report.rungs[-1])
        if self._clock is not None and goes_on and report.state is TrialState.STOPPED:
            self._clock.go_on(job, job.request.first_rung + len(report.rungs))
        return goes_on

    def ended(self, tune_id: str) -> None:
        """End the job of a Tune trial that has finished or was stopped."""
        if tune_id not in self._live:
            return
        attempt = self._live.pop(tune_id)
        job, report = attempt.job, attempt.report
        assert report is not None, "its result has arrived"
        if report.state is TrialState.COMPLETE and len(report.rungs) < job.request.num_reports:
            report = report.model_copy(update={"state": TrialState.STOPPED})
        self._controller.done(job, report)
        self._progress.ended(job, report)
        self._leave(job)

    def _leave(self, job: Job) -> None:
        """Free the place of a job that has ended, and propose the next one."""
        self._reported.pop(job.key, None)
        if self._clock is not None:
            self._clock.end(job)
            self._propose()

    def lost(self, tune_id: str) -> None:
        """Note that the worker of a Tune trial died."""
        if tune_id not in self._live:
            return
        attempt = self._live.pop(tune_id)
        attempt.pause()
        self._losses.append(Loss(attempt.job, attempt.seconds, self._lost_since(attempt.begin)))
        self._settle()

    def _settle(self) -> None:
        """Treat the losses whose turn it is."""
        while turn := [loss for loss in self._losses if self._clock is None or loss.job.key == self._clock.next]:
            self._losses.remove(turn[0])
            self._treat(turn[0])

    def _treat(self, loss: Loss) -> None:
        """Run the job of a worker that died again, or fail it if it hung or its workers died too often."""
        job, seconds, limit = loss.job, loss.seconds, loss.job.request.time_limit
        if limit is not None and seconds > limit + self._grace_seconds:
            reason = f"time limit: it hung, its worker was ended after {seconds:.0f} s of {limit:.0f} s allowed"
            self._controller.fail(job, reason)
            self._progress.failed(job, reason)
            self._leave(job)
            return
        reason = f"its {'machine is gone' if loss.node_gone else 'worker process died'} after {seconds:.1f} s"
        again = self._controller.lost(job, reason, counts=not loss.node_gone)
        if again is None:
            self._progress.failed(job, f"its worker died too often, last: {reason}")
            self._leave(job)
        else:
            self._progress.lost(job, reason)
            self._ready.appendleft(again)
