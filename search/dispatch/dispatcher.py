"""Passes the jobs of the controller to the trials of Ray Tune, and their results or losses back."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from search.console.progress import Progress
from search.dispatch.ray_cluster import Nodes
from search.loop.controller import Controller
from search.loop.job import Job
from workers.reports import TrialReport, TrialState

T = TypeVar("T")


class Dispatcher:
    """Passes the jobs of the controller to Tune trials, and their results back."""

    def __init__(self, controller: Controller, progress: Progress, grace_seconds: float) -> None:
        self._controller, self._progress, self._grace_seconds = controller, progress, grace_seconds
        self._nodes = Nodes()
        self._again: list[Job] = []
        self._live: dict[str, tuple[Job, float]] = {}
        """Tune's id -> running job, and the time (`time.monotonic`) at which its worker had started."""
        self._reports: dict[str, TrialReport] = {}
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
    def finished(self) -> bool:
        """Return True if no job runs and none will start."""
        return not self._again and not self._live and self._controller.finished

    def start(self, tune_id: str) -> Job | None:
        """Return the job of a new Tune trial, or None if none can start now."""
        job = self._again.pop() if self._again else self._controller.next()
        if job is not None:
            self._live[tune_id] = (job, time.monotonic())
            self._progress.started(job)
        return job

    def worker_ready(self, tune_id: str) -> None:
        """Start the clock of a Tune trial: its worker has started, and the start does not count as its time."""
        if tune_id in self._live:
            self._live[tune_id] = (self._live[tune_id][0], time.monotonic())

    def received(self, tune_id: str, result: dict[str, Any]) -> bool:
        """Pass the result of a step to the controller; return True if the trial continues."""
        report = TrialReport.model_validate_json(result["report"])
        known = self._reports.get(tune_id)
        self._reports[tune_id] = report
        if known is not None and len(known.rungs) == len(report.rungs):
            return True
        if not report.rungs:
            return True
        job, _ = self._live[tune_id]
        self._progress.rung(job, report.rungs[-1])
        return self._controller.rung(job, report.rungs[-1])

    def ended(self, tune_id: str) -> None:
        """End the job of a Tune trial that has finished or was stopped."""
        if tune_id not in self._live:
            return
        job, _ = self._live.pop(tune_id)
        report = self._reports.pop(tune_id)
        if report.state is TrialState.COMPLETE and len(report.rungs) < job.request.num_reports:
            report = report.model_copy(update={"state": TrialState.STOPPED})
        self._controller.done(job, report)
        self._progress.ended(job, report)

    def lost(self, tune_id: str) -> None:
        """Run the job of a worker that died again, or fail it if it hung or its workers died too often."""
        if tune_id not in self._live:
            return
        job, begin = self._live.pop(tune_id)
        self._reports.pop(tune_id, None)
        seconds, limit = time.monotonic() - begin, job.request.time_limit
        if limit is not None and seconds > limit + self._grace_seconds:
            reason = f"time limit: it hung, its worker was ended after {seconds:.0f} s of {limit:.0f} s allowed"
            self._controller.fail(job, reason)
            self._progress.failed(job, reason)
            return
        node_gone = self._nodes.lost_since(begin)
        reason = f"its {'machine is gone' if node_gone else 'worker process died'} after {seconds:.1f} s"
        again = self._controller.lost(job, reason, counts=not node_gone)
        if again is None:
            self._progress.failed(job, f"its worker died too often, last: {reason}")
        else:
            self._progress.lost(job, reason)
            self._again.append(again)
