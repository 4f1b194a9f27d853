"""The controller: decides which job is next, what a report means, and when the search is over.

Both ways to run trials (in this process, on Ray Tune) drive the same object: `next` returns a job, `rung` takes the
report of each rung, `done` or `lost` ends the job. It never waits and never runs a model.
"""

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from search.loop.final_front import FinalTest
from search.loop.history import History
from search.loop.job import Job, Phase
from search.loop.problem import Problem
from search.loop.proposer import Proposer
from search.loop.trial_note import trial_note
from search.settings import Settings
from search.storage.results import Results
from search.storage.study import SearchStudy
from search.strategies.strategy import Proposal, Signal, Strategy
from workers.machine_failures import MachineFailure
from workers.reports import RungReport, TrialReport, TrialState
from workers.requests import TrialRequest

MAX_LOSSES = 3
"""Number of worker deaths after which a trial is failed: the trial is probably the cause."""
MAX_ATTEMPTS = 10
"""Number of deaths of the whole run after which a trial is failed; larger, since the trial is rarely the cause."""
MAX_SAME_FAILURES = 5
"""Number of successive trials with the same reason of failure after which the search ends."""


class BlindModelError(ValueError):
    """The dense model is not better than without the images. The message is one line for the user."""


class Controller:
    """Controls one search. Its state is the study in the database; this object holds a copy in memory."""

    def __init__(
        self,
        settings: Settings,
        problem: Problem,
        study: SearchStudy,
        results: Results,
        strategy: Strategy,
        again: bool = False,
    ) -> None:
        """Read the run into memory.

        Args:
            settings: settings of the search.
            problem: the search problem.
            study: the Optuna study of the run.
            results: the results tables of the run.
            strategy: proposes the plans.
            again: True if this process ran the search before and reopens it after database, disk or device was
                unavailable; running trials are then not charged an attempt.
        """
        self._settings, self._problem, self._study, self._results = settings, problem, study, results
        self._proposer = Proposer(strategy, problem.task())
        self._reads: Collection[Signal] = getattr(strategy, "reads", ())
        self.history = History(problem, study, results)
        self._adopted = self.history.running()
        self.final = FinalTest(settings, problem, self.history, results)
        self._losses: dict[tuple[int, Phase, int], int] = {}
        self._running: set[int] = set()
        self._again = again
        self._failures: list[str] = []
        self.given_up = self._dense_failure()
        """Why the search cannot succeed; None while it can."""
        self._exhausted = False
        if self._adopted:
            results.event("resume", f"took over the running trials {self._adopted}")

    # -- what to do next ------------------------------------------------------------------------------------

    def next(self) -> Job | None:
        """Return the next job, or None if none can start now (see `finished`).

        Raises:
            BlindModelError: see `check_sight`.
        """
        if self.given_up is not None:
            return None
        self.check_sight()
        while self._adopted:
            if job := self._adopt(self._adopted.pop(0)):
                return job
        if len(self.history) < self._settings.budget and not self._exhausted:
            proposal = self._proposer.next(self.history)
            if proposal is not None:
                with self._results.one_transaction():
                    return self._start(proposal)
            self._exhausted = True
            self._results.event("exhausted", f"all plans within the limits are tried: {len(self.history)} trials")
        return None if self._running else self.final.next()

    @property
    def finished(self) -> bool:
        """Return True if all jobs have ended and no further one will start."""
        if self.given_up is not None:
            return not self._running
        spent = self._exhausted or len(self.history) >= self._settings.budget
        return spent and not (self._adopted or self._running or self.final.left)

    def check_sight(self) -> None:
        """Raise BlindModelError if the accuracy of the dense model is at or below the floor, unless that is allowed."""
        if not self._settings.allow_blind and (reason := self.history.blindness) is not None:
            raise BlindModelError(f"{reason}: check prompt, metric and data, or continue with --allow-blind")

    @property
    def run_id(self) -> tuple[str, str]:
        """Return the id and the name of the run."""
        return self._results.run.uid, self._results.run.name

    @property
    def minimized(self) -> str:
        """Return the minimized cost: `flops`, `sparse_flops` or `latency`."""
        return self._settings.minimize

    @property
    def keep_fraction(self) -> float:
        """Return the fraction of the trials at a rung that continue with the next rung."""
        return self._settings.keep_fraction

    @property
    def exhausted(self) -> bool:
        """Return True if all plans within the limits are tried, so that no further trial starts."""
        return self._exhausted

    @property
    def num_rungs(self) -> int:
        """Return the number of rungs of a trial."""
        return len(self._settings.rungs)

    @property
    def workers(self) -> int:
        """Return the number of workers."""
        return self._settings.num_workers

    @property
    def rows(self) -> Mapping[str, int]:
        """Return split -> number of questions, as far as it is known."""
        rows: Mapping[str, int] = self._problem.data.get("rows", {})
        return rows

    @property
    def baselines_left(self) -> int:
        """Return the number of hand-made baselines that have not been tried."""
        return self._proposer.baselines_left(self.history)

    def _start(self, proposal: Proposal) -> Job:
        plan = proposal.plan
        attributes: dict[str, Any] = {"origin": proposal.origin}
        if proposal.probe:
            attributes["probe"] = True
        if proposal.resumes is not None:
            attributes["resumes"] = proposal.resumes
        number = self._study.start(plan, attributes, self._problem.violations(plan))
        self.history.add(number, plan, proposal)
        return self._job(number, attempt=1)

    def _adopt(self, number: int) -> Job | None:
        """Return the job of a trial that a dead controller left running; after `MAX_ATTEMPTS`, fail it, return None."""
        record = self.history.record(number)
        attempt = record.attempt + (0 if self._again else 1)
        with self._results.one_transaction():
            if attempt <= MAX_ATTEMPTS:
                return self._job(number, attempt)
            self._results.start_trial(number, self._request(number), record.origin, attempt)
            self._fail(number, f"the run died {MAX_ATTEMPTS} times during this trial")
            return None

    def _job(self, number: int, attempt: int) -> Job:
        request = self._request(number)
        self._results.start_trial(number, request, self.history.record(number).origin, attempt)
        self._running.add(number)
        return Job(number, Phase.SEARCH, request)

    def _request(self, number: int) -> TrialRequest:
        record, settings = self.history.record(number), self._settings
        first, *others = settings.rungs
        signals = {
            "margins": Signal.MARGINS in self._reads,
            "importance": Signal.IMPORTANCE in self._reads and record.plan.is_dense,
            "floor": record.plan.is_dense,
        }
        first = first.model_copy(update=signals)
        rungs = (first,) if record.probe else (first, *others)
        return self._problem.request(number, record.plan).model_copy(
            update={"rungs": rungs, "first_rung": self.history.first_rung(number)}
        )

    # -- what came back -------------------------------------------------------------------------------------

    def rung(self, job: Job, report: RungReport) -> bool:
        """Store the report of a finished rung and decide whether its trial continues.

        Returns:
            True if the trial continues with its next rung.
        """
        if not math.isfinite(report.accuracy):
            return False
        report = self._problem.priced(report, job.request.plan)
        if job.phase is Phase.TEST:
            self.final.measured(job, report)
            return True
        values = {
            "accuracy": report.accuracy,
            "tuning_steps": report.tuning_steps,
            "questions": report.questions,
        }
        with self._results.one_transaction():
            self._results.add_rung(job.number, report, self.history.record(job.number).flops_ratio)
            self._study.annotate(job.number, f"rung_{report.rung}", values)
        if report.artifact:
            self.history.stored(job.number, report.artifact)
        record = self.history.record(job.number)
        last = report.rung + 1 >= len(job.request.rungs)
        spared = last or job.request.plan.is_dense or record.resumes is not None
        mine = (report.accuracy, record.flops_ratio)
        keep, least = self._settings.keep_fraction, self.history.least_at(report.rung)
        goes_on = spared or self.history.peers_at(report.rung, but=job.number).goes_on(mine, keep, least)
        self.history.measured(job.number, report)
        return goes_on

    def done(self, job: Job, report: TrialReport) -> None:
        """Store how a job ended.

        Raises:
            MachineFailure: the machine failed, not the trial. The trial remains running and is run again later.
        """
        if report.put_back:
            raise MachineFailure(report.reason)
        if job.phase is Phase.TEST:
            self.final.ended(job, report.reason)
            return
        self._running.discard(job.number)
        state, reason = report.state, report.reason
        if not all(math.isfinite(rung.accuracy) for rung in report.rungs):
            state, reason = TrialState.FAILED, f"accuracy must be finite, got {report.rungs[-1].accuracy}"
        if state is TrialState.COMPLETE and self.history.record(job.number).probe:
            state, reason = TrialState.STOPPED, "a probe: it ends after the cheapest rung"
        with self._results.one_transaction():
            self._results.end_trial(job.number, state, reason, report.origin)
            self._end(job.number, state, reason)

    def lost(self, job: Job, reason: str, counts: bool = True) -> Job | None:
        """Store that the worker of a job died.

        Args:
            job: the job that the worker was running.
            reason: one line for the event.
            counts: False if the machine is the cause and not the trial.

        Returns:
            The same job to run again, or None if its worker died `MAX_LOSSES` times; the trial is failed then.
        """
        with self._results.one_transaction():
            return self._lost(job, reason, counts)

    def _lost(self, job: Job, reason: str, counts: bool) -> Job | None:
        losses = self._losses[job.key] = self._losses.get(job.key, 0) + counts
        self._results.event("worker lost", f"{reason} (loss {losses} of {MAX_LOSSES})", job.number)
        if losses < MAX_LOSSES:
            if job.phase is Phase.SEARCH:
                origin = self.history.record(job.number).origin
                self._results.start_trial(job.number, job.request, origin, losses + 1)
            return job
        message = f"its worker died {losses} times, last: {reason}"
        if job.phase is Phase.TEST:
            self.final.ended(job, message)
        else:
            self._running.discard(job.number)
            self._fail(job.number, message)
        return None

    def fail(self, job: Job, reason: str) -> None:
        """End a job as failed, without another attempt, such as one whose worker was killed at the time limit."""
        if job.phase is Phase.TEST:
            self.final.ended(job, reason)
            return
        self._running.discard(job.number)
        with self._results.one_transaction():
            self._results.event("failed", reason, job.number)
            self._fail(job.number, reason)

    def _fail(self, number: int, reason: str) -> None:
        with self._results.one_transaction():
            self._results.end_trial(number, TrialState.FAILED, reason, None)
            self._end(number, TrialState.FAILED, reason)

    def _end(self, number: int, state: TrialState, reason: str | None) -> None:
        """End the trial in the study, in the same transaction as in the results tables."""
        self.history.ended(number, state, reason)
        self.given_up = self.given_up or self._dense_failure() or self._same_failures(state, reason)
        observation = self.history.observation(number)
        self._study.note(number, trial_note(observation, reason, self._problem.costs(observation.plan)))
        if state is TrialState.COMPLETE:
            assert observation.point is not None
            accuracy, plan = observation.point[0], observation.plan
            violations = {**self._problem.violations(plan), **self.history.limits.shortfall(accuracy)}
            self._study.complete(number, observation.point, violations)
        elif state is TrialState.STOPPED:
            self._study.stop(number)
        else:
            self._study.fail(number, reason or "unknown")

    def _dense_failure(self) -> str | None:
        """Return why the dense plan could not be measured, or None; all other plans are compared with it."""
        reasons = (r.reason for r in self.history.dense() if r.state == "failed" and not r.accuracies)
        return next((f"the dense model failed: {reason}" for reason in reasons), None)

    def _same_failures(self, state: TrialState, reason: str | None) -> str | None:
        """Return a message if the last `MAX_SAME_FAILURES` trials failed for the same reason, else None.

        Numbers in the reasons are ignored.
        """
        if state is not TrialState.FAILED or reason is None:
            self._failures.clear()
            return None
        plain = re.sub(r"\d+", "#", reason)
        if plain not in self._failures:
            self._failures.clear()
        self._failures.append(plain)
        if len(self._failures) < MAX_SAME_FAILURES:
            return None
        return f"{MAX_SAME_FAILURES} trials in a row failed for the same reason: {reason}"

    # -- the end --------------------------------------------------------------------------------------------

    def interrupted(self, why: str = "stopped by the user") -> None:
        """Store that the search was interrupted; the next start runs its running trials again."""
        self._results.event("interrupted", why)

    def close(self) -> None:
        """Store that the search is finished."""
        states = ", ".join(f"{count} {state}" for state, count in self.summary().items())
        self._results.event("finished", f"{len(self.history)} trials: {states}")
        self._results.finish()

    def summary(self) -> dict[str, int]:
        """Return the number of trials by state: complete, stopped, failed, running."""
        return {state: self.history.counts[state] for state in ("complete", "stopped", "failed", "running")}
