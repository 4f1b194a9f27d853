"""Shows the progress of a search: a live view on a terminal, and one greppable line per trial everywhere."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Protocol

from rich.console import Console

from objectives.growing_fronts import GrowingFronts
from objectives.hypervolume import hypervolume
from objectives.objectives import COST_NAMES, MAXIMIZE, REFERENCE
from objectives.sentences import sentence_note
from search.analysis.eta import Pace
from search.console.durations import clock
from search.console.live import LiveView, View
from search.console.progress_lines import now_line, test_line, trial_line
from search.console.samples import examples
from search.loop.controller import Controller
from search.loop.job import Job, Phase
from search.storage.timings import Timing
from search.strategies.strategy import Observation
from workers.reports import RungReport, TrialReport, TrialState


class Listener(Protocol):
    """Receives what a search reports as it runs."""

    def rung(self, job: Job, report: RungReport) -> None: ...

    def ended(self, job: Job, report: TrialReport) -> None: ...


class Progress:
    """Prints jobs as they end; a context manager."""

    def __init__(
        self,
        controller: Controller,
        budget: int,
        console: Console | None = None,
        ended: Callable[[], None] = lambda: None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        """Prepare the display.

        Args:
            controller: the controller of the search.
            budget: total number of trials.
            console: console to print to; by default the standard output.
            ended: called after each job.
            listeners: receive every rung and the end of every job.
        """
        self._ended, self._listeners = ended, listeners
        self._controller, self._budget = controller, budget
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._first, self._begin = controller.history.num_ended, time.monotonic()
        self._tests_ended = 0
        self._found = GrowingFronts()
        """(FLOPs ratio, accuracy) of the finished trials within the limits."""
        self._finished: list[tuple[float, float]] = []
        self._volume: float | None = None
        view = View(budget, cost=COST_NAMES[controller.minimized])
        self._live = LiveView(self._console, view) if self._console.is_terminal else None
        self._pace = self._known_pace()

    def _known_pace(self) -> Pace:
        """Return the speed as the stored rungs of a resumed search show it; usual values for a new one."""
        controller = self._controller
        pace = Pace(controller.num_rungs, controller.keep_fraction, controller.final.questions, controller.workers)
        for timing in controller.history.timings:
            pace.rung(timing)
        for seen in controller.history.observations():
            if seen.state != "running":
                self._add(seen, pace)
        return pace

    def _add(self, seen: Observation, pace: Pace) -> None:
        pace.trial(seen.flops_ratio, len(seen.accuracies), seen.origin.startswith("baseline"))
        if seen.full and seen.point is not None and self._controller.history.limits.keeps(seen.point):
            point = seen.point[1], seen.point[0]
            self._found.add(point)
            self._finished.append(point)
            reference = (self._controller.history.limits.floor or REFERENCE[0], REFERENCE[1])
            front = [(accuracy, ratio) for ratio, accuracy in self._found.front(0)]
            self._volume = hypervolume(front, reference, MAXIMIZE)

    def __enter__(self) -> "Progress":
        if self._live:
            self._show()
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.view = replace(self._live.view, now="", end=None)
            self._live.__exit__(kind, error, trace)

    def note(self, line: str) -> None:
        """Say what happens before the first job, such as that the model is loaded."""
        if self._live:
            self._live.view = replace(self._live.view, now=line)
        else:
            self._print(line)

    def started(self, job: Job) -> None:
        """Display that a worker has started a job."""
        self._pace.started(job.key)
        self._show(now_line(job))

    def rung(self, job: Job, report: RungReport) -> None:
        """Display that a rung of a job has ended."""
        for listener in self._listeners:
            listener.rung(job, report)
        ratio = self._controller.history.record(job.number).flops_ratio
        self._pace.rung(Timing(report.split, report.rung, ratio, report.questions, report.tuning_steps, report.seconds))
        if job.phase is Phase.SEARCH and report.rung == 0:
            self._warn_of_sentences(job, report)
        self._show(now_line(job, report.rung, report.accuracy))

    def ended(self, job: Job, report: TrialReport) -> None:
        """Print the line of an ended job."""
        self._ended()
        for listener in self._listeners:
            listener.ended(job, report)
        seconds = self._pace.ended(job.key)
        history = self._controller.history
        if job.phase is Phase.SEARCH:
            seen = history.observation(job.number)
            self._add(seen, self._pace)
            line = trial_line(seen, report.reason, self._volume, self._controller.minimized)
            if job.request.plan.is_dense and report.rungs:
                self._warn_of_blindness(report)
            if report.state is TrialState.FAILED and self._live:
                self._live.view = replace(self._live.view, failure=f"trial {job.number}: {report.reason}")
        else:
            self._tests_ended += 1
            line = test_line(job, report)
        left = self._left()
        self._print(f"{line} {seconds:.1f}s {self._counted(left)}".rstrip())
        self._show(left=left)

    def lost(self, job: Job, reason: str) -> None:
        """Print the line of a job that runs again because its worker died."""
        self._pace.ended(job.key)
        self._print(f"trial={job.number} lost ({reason}), it runs again")

    def failed(self, job: Job, reason: str) -> None:
        """Print the line of a job that has failed without a report from its worker."""
        plan, state = job.request.plan, TrialState.FAILED
        report = TrialReport(
            number=job.number, plan=str(plan), digest=plan.digest, state=state, reason=reason, rungs=(), origin={}
        )
        self.ended(job, report)

    def _warn_of_sentences(self, job: Job, report: RungReport) -> None:
        """Print a warning if the dense model wraps its answers in sentences."""
        accepted = [question.accepted for question in report.asked or ()]
        note = sentence_note(job.request.metric or "", report.answers, accepted, report.scores) if accepted else None
        if note:
            self._console.print(note, style="red", markup=False, soft_wrap=True)

    def _warn_of_blindness(self, report: TrialReport) -> None:
        """Print a warning with examples if the dense model is not better than the floor."""
        if (reason := self._controller.history.blindness) is not None:
            for line in (f"{reason}. It answered:", *examples(report.rungs[-1])):
                self._console.print(line, style="red", markup=False, soft_wrap=True)

    def _print(self, line: str) -> None:
        """Print a line; without a terminal not through rich, which takes longer than storing the trial."""
        if self._console.is_terminal or self._console.quiet:
            self._console.print(line, markup=False)
        else:
            print(line, file=self._console.file, flush=True)

    @property
    def _total(self) -> int:
        """Return the number of trials that the search will have."""
        return len(self._controller.history) if self._controller.exhausted else self._budget

    def _left(self) -> float | None:
        """Return the predicted seconds until the end, final tests included; None where they are not known."""
        if not self._pace.is_known:
            return None
        ended = self._controller.history.num_ended
        if ended >= self._total:
            return self._pace.tests_left(*self._controller.final.ratios_left)
        baselines = min(self._controller.baselines_left, self._total - ended)
        trials = self._pace.trials_left(baselines, self._total - ended - baselines)
        size, final = len(self._found.front(0)), self._controller.final
        tests = self._pace.expected_tests(self._total, ended, size, final.num_seeds, final.share_tuned_again)
        return trials + self._pace.tests_left(*tests)

    def _counted(self, left: float | None) -> str:
        """Return the number of ended jobs of the phase with the ETA; empty after the last test."""
        eta = "" if left is None else f" eta {clock(left)}"
        ended = self._controller.history.num_ended
        if ended < self._total:
            return f"[{ended}/{self._total}{eta}]"
        total = self._tests_ended + self._controller.final.left
        return f"[tests {self._tests_ended}/{total}{eta}]" if self._tests_ended < total else ""

    def _show(self, now: str | None = None, left: float | None = None) -> None:
        """Replace what the live view shows."""
        if not self._live:
            return
        history, view = self._controller.history, self._live.view
        testing = history.num_ended >= self._total
        tests = (self._tests_ended, self._tests_ended + self._controller.final.left) if testing else (0, 0)
        seconds = view.seconds if testing and view.seconds else time.monotonic() - self._begin
        self._live.view = replace(
            view,
            counts=dict(history.counts),
            tests=tests,
            trials=tuple(self._finished),
            front=tuple(self._found.front(0)),
            dense=tuple(point for point in self._finished if point[0] == 1.0)[:1],
            floor=history.limits.floor or 0.0,
            hypervolume=self._volume,
            new_trials=history.num_ended - self._first,
            seconds=seconds,
            end=view.end if left is None else time.monotonic() + left,
            now=view.now if now is None else now,
        )
