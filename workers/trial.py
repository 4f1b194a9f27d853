"""Runs trials one after another on a loaded model; failures of a trial are returned as data."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch

from objectives.latency import TimeTable
from spaces.plan import Block
from workers.describe import check_fit
from workers.evaluation.time_table import device_of, measure_times
from workers.inference.token_budget import free_memory, is_out_of_memory
from workers.machine_failures import machine_failure
from workers.origin import origin
from workers.plan_batch import alike, generates, measure_together
from workers.reports import RungReport, TrialReport, TrialState
from workers.requests import TrialRequest
from workers.rungs import climb
from workers.session import Session
from workers.watchdog import Watchdog

log = logging.getLogger(__name__)


class Worker:
    """Runs trials one after another; model, image features and batches stay loaded between them."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self._key: object = None

    def open(self, request: TrialRequest) -> Session:
        """Load the model of a request unless it is loaded.

        Raises:
            ValueError: the model or its data set cannot be used.
        """
        with _threads(request.threads):
            return self._session(request)

    def load(self, request: TrialRequest) -> Session:
        """Load model and data of a request unless they are loaded, and check that the request fits them.

        Raises:
            ValueError: a mistake of the user, such as an unknown model or data set, or a plan of another depth.
        """
        with _threads(request.threads):
            session = self._session(request)
            check_fit(session.shape, request)
            session.metric(request)
            for rung in request.rungs:
                session.split(rung.split)
            if request.rungs[-1].tuning_steps:
                session.split("tune")
                session.tuning_schedule(request.tuning, request.seed)
            if request.plan.is_calibrated:
                session.calibrate()
        return session

    def _session(self, request: TrialRequest) -> Session:
        # Threads are part of the key: image features computed with another number differ in the last bits.
        key = (request.model, request.data, request.threads)
        if self.session is None or self._key != key:
            self.session = None  # frees the old model before the new one is loaded
            log.info("loading model %s and data %s", request.model.name, request.data.name)
            self.session, self._key = Session(request.model, request.data), key
        return self.session

    def times(self, request: TrialRequest, choices: Sequence[Sequence[Block]]) -> TimeTable:
        """Return the measured times of the model under every op of a space (`workers.evaluation.time_table`).

        Args:
            request: names the model, data, workload and threads.
            choices: per block of the model, its possible blocks in a plan.

        Raises:
            ValueError: the model can't be used, or the workload can't be timed.
        """
        with _threads(request.threads):
            return measure_times(self._session(request), request, choices)

    def place(self, request: TrialRequest) -> dict[str, Any]:
        """Return what latencies depend on besides model and workload: device, processor and threads."""
        with _threads(request.threads):
            return device_of(self._session(request), request)

    def rungs(self, request: TrialRequest) -> Generator[RungReport, None, None]:
        """Run a trial rung by rung, yielding the report of each; closing the generator early restores the model.

        The time limit covers the work of the trial only, not loading, nor what the caller does between rungs.
        """
        start = perf_counter()
        session = self.load(request)
        with _threads(request.threads):
            yield from climb(session, request, seconds_to_load=perf_counter() - start)

    def evaluate(self, requests: Sequence[TrialRequest]) -> list[TrialReport]:
        """Run the next rung of several trials and return their reports, in the order of the requests.

        Untuned rungs of requests that differ in their plans only are measured together, which computes once what plans
        share (`workers.plan_batch`). The reports equal those of trials run alone, except for the seconds. A trial goes
        on by a request with a later `first_rung`. Errors of a trial are reported, not raised.
        """
        rungs = self._together(requests) if len(requests) > 1 else [None] * len(requests)
        return [self._next_rung(*pair) for pair in zip(requests, rungs, strict=True)]

    def _together(self, requests: Sequence[TrialRequest]) -> list[RungReport | None]:
        """Return the measured rungs; None for those that must be run alone, which reports why they fail."""
        measured: list[RungReport | None] = [None] * len(requests)
        places = [place for place, request in enumerate(requests) if self._can_load(request)]
        chosen = [requests[place] for place in places]
        if len(chosen) < 2 or not alike(chosen):
            return measured
        session, limit = self.load(chosen[0]), chosen[0].time_limit
        try:
            if generates(session, chosen[0]):
                with _threads(chosen[0].threads), Watchdog(limit and limit * len(chosen)):
                    for place, rung in zip(places, measure_together(session, chosen), strict=True):
                        measured[place] = rung
        except Exception:
            log.debug("a batch of %d trials failed, which are run alone", len(chosen), exc_info=True)
            free_memory()
        return measured

    def _can_load(self, request: TrialRequest) -> bool:
        try:
            self.load(request)
        except Exception:
            log.debug("trial %s can't be loaded", request.number, exc_info=True)
            return False
        return True

    def _next_rung(self, request: TrialRequest, measured: RungReport | None) -> TrialReport:
        run = TrialRun(self, request, () if measured is None else (measured,))
        try:
            if measured is None:
                run.next()
        finally:
            run.close()
        return run.report()


class TrialRun:
    """A running trial, for callers that decide after each rung if it continues; its errors are reported, not raised."""

    def __init__(self, worker: Worker, request: TrialRequest, measured: Sequence[RungReport] = ()) -> None:
        """Prepare a run; `measured` are reports of all rungs that are to be run, if they exist already."""
        self.request = request
        self._worker, self._rungs = worker, worker.rungs(request)
        self._reports: list[RungReport] = list(measured)
        self._failure: str | None = None
        self._put_back = False

    @property
    def ended(self) -> bool:
        """Return True if there is no next rung, since all are done or one failed."""
        return self._failure is not None or len(self._reports) == self.request.num_reports

    def next(self) -> RungReport | None:
        """Run the next rung and return its report; None if it failed or the trial has ended."""
        if self.ended:
            return None
        try:
            self._reports.append(next(self._rungs))
        except Exception as error:
            log.debug("trial %s failed", self.request.number, exc_info=True)
            machine = machine_failure(error)
            self._put_back, self._failure = machine is not None, machine or reason_of(error)
            free_memory()
            return None
        if self.ended:
            self.close()
        return self._reports[-1]

    def close(self) -> None:
        """End the trial and restore the model; if rungs are left, its state is STOPPED."""
        self._rungs.close()

    def report(self) -> TrialReport:
        """Return the result so far; the state is STOPPED while rungs are left."""
        plan, done = self.request.plan, self.request.first_rung + len(self._reports)
        state, reason = TrialState.COMPLETE, None
        if self._failure is not None:
            state, reason = TrialState.FAILED, self._failure
        elif not self.ended:
            state, reason = TrialState.STOPPED, f"stopped after {done} of {len(self.request.rungs)} rungs"
        return TrialReport(
            number=self.request.number,
            plan=str(plan),
            digest=plan.digest,
            state=state,
            reason=reason,
            put_back=self._put_back,
            rungs=tuple(self._reports),
            origin=origin(self.request, self._worker.session),
        )


def run_trial(worker: Worker, request: TrialRequest, go_on: Callable[[RungReport], bool]) -> TrialReport:
    """Run a trial until its last rung, or until `go_on` returns False, and return its report.

    Errors of the trial are not raised: they are the reason of a FAILED report. Errors of `go_on` are raised.

    Args:
        worker: runs the trial.
        request: the trial.
        go_on: called with the report of each rung, including the last.
    """
    run = TrialRun(worker, request)
    try:
        while (rung := run.next()) is not None:
            if not go_on(rung):
                break
    finally:
        run.close()
    return run.report()


def reason_of(error: Exception) -> str:
    """Return one line with the reason of a failure; all out-of-memory errors get the same text."""
    message = " ".join(str(error).split())
    kind = "out of memory" if is_out_of_memory(error) else type(error).__name__
    return f"{kind}: {message}" if message else kind


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
