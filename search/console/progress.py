"""Shows the progress of a search: one line per ended trial and, on a terminal, a progress bar with an ETA."""

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from objectives.sentences import sentence_note
from search.console.eta import FinalPace, TrialPace, spent_once
from search.console.samples import examples
from search.loop.controller import Controller
from search.loop.job import Job, Phase
from workers.reports import RungReport, TrialReport, TrialState


class Progress:
    """Prints trials as they end; a context manager."""

    def __init__(
        self,
        controller: Controller,
        budget: int,
        console: Console | None = None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare the display.

        Args:
            controller: the controller of the search.
            budget: total number of trials.
            console: console to print to; by default the standard output.
            ended: called after each job.
        """
        self._ended = ended
        self._controller, self._budget = controller, budget
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._trials = TrialPace(controller.keep_fraction)
        self._first = controller.history.num_ended
        self._started: dict[tuple[int, Phase, int], float] = {}
        self._loads: dict[tuple[int, Phase, int], float] = {}
        """Job -> seconds that it spent on loading the model and measuring the floor."""
        self._tests: dict[bool, FinalPace] = {}
        """Speed of the tests that tune (True) and of those that read a stored mapping module (False)."""
        self._bar: Bar | None = None

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._bar = Bar(*columns, TextColumn("{task.fields[eta]}"), console=self._console)
            self._task = self._bar.add_task("trials", total=self._budget, completed=self._first, eta="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def started(self, job: Job) -> None:
        """Display that a worker has started a job."""
        self._started[job.key] = time.monotonic()
        if job.phase is Phase.TEST:
            self._tests.setdefault(_tunes(job), FinalPace())
        if self._bar:
            number = job.number
            what = f"trial {number}" if job.phase is Phase.SEARCH else f"test of {number} seed {job.request.seed}"
            self._bar.update(self._task, description=what)

    def rung(self, job: Job, report: RungReport) -> None:
        """Display that a rung of a job has ended."""
        if job.phase is Phase.SEARCH and report.rung == 0:
            self._loads[job.key] = spent_once(report.seconds)
            self._trials.first_rung(self._seconds(job) - self._loads[job.key])
            self._warn_of_sentences(job, report)
        if self._bar and job.phase is Phase.SEARCH:
            text = f"trial {job.number} rung {report.rung} accuracy {report.accuracy:.3f}"
            self._bar.update(self._task, description=text)

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

    def ended(self, job: Job, report: TrialReport) -> None:
        """Print the line of an ended job."""
        self._ended()
        seconds = self._seconds(job)
        self._started.pop(job.key, None)
        load = self._loads.pop(job.key, 0.0)
        if job.phase is Phase.SEARCH:
            trial = self._controller.history.observation(job.number)
            self._trials.ended(seconds - load, load, trial.full, trial.origin.startswith("baseline"))
            line, eta = self._trial(job, report), self._eta()
        else:
            line, eta = self._test(job, report), self._tests_left(job)
        if job.phase is Phase.SEARCH and job.request.plan.is_dense and report.rungs:
            self._warn_of_blindness(report)
        self._print(f"{line} {seconds:.1f}s {eta}".rstrip())
        if self._bar:
            self._bar.update(self._task, completed=self._num_ended(), eta=eta)

    def lost(self, job: Job, reason: str) -> None:
        """Print the line of a job that runs again because its worker died."""
        self._print(f"trial={job.number} lost ({reason}), it runs again")

    def failed(self, job: Job, reason: str) -> None:
        """Print the line of a job that has failed without a report from its worker."""
        plan = job.request.plan
        state = TrialState.FAILED
        self.ended(
            job,
            TrialReport(
                number=job.number, plan=str(plan), digest=plan.digest, state=state, reason=reason, rungs=(), origin={}
            ),
        )

    def _print(self, line: str) -> None:
        """Print a line; without a terminal not through rich, which takes longer than storing the trial."""
        if self._console.is_terminal or self._console.quiet:
            self._console.print(line, markup=False)
        else:
            print(line, file=self._console.file, flush=True)

    def _seconds(self, job: Job) -> float:
        """Return the seconds since the start of a job."""
        return time.monotonic() - self._started.get(job.key, time.monotonic())

    def _trial(self, job: Job, report: TrialReport) -> str:
        seen = self._controller.history.observation(job.number)
        accuracies = ">".join(f"{accuracy:.3f}" for accuracy in seen.accuracies) or "-"
        reason = f" ({report.reason})" if report.reason else ""
        return (
            f"trial={job.number} {seen.state}{reason} plan={seen.plan} accuracy={accuracies} "
            f"flops={seen.flops_ratio:.3f} by='{seen.origin}'"
        )

    def _test(self, job: Job, report: TrialReport) -> str:
        accuracy = f"{report.rungs[-1].accuracy:.3f}" if report.rungs else f"- ({report.reason})"
        return f"test trial={job.number} seed={job.request.seed} plan={report.plan} test_accuracy={accuracy}"

    def _num_ended(self) -> int:
        return self._controller.history.num_ended

    def _eta(self) -> str:
        """Return progress and predicted time for the remaining budget, without the final test, as text."""
        ended = self._num_ended()
        if ended <= self._first or ended >= self._budget:
            return ""
        baselines = min(self._controller.baselines_left, self._budget - ended)
        left = self._trials.seconds_for(baselines, self._budget - ended - baselines)
        return f"[{ended}/{self._budget} eta {_clock(left)}]"

    def _tests_left(self, job: Job) -> str:
        """Return progress and predicted time of the final test as text.

        The time is left out until a test with tuning has ended, since these take longest and come last.
        """
        final, pace = self._controller.final, self._tests.setdefault(_tunes(job), FinalPace())
        pace.jobs, pace.flops = pace.jobs + 1, pace.flops + self._controller.history.record(job.number).flops_ratio
        if not final.left:
            return ""
        ended = sum(kind.jobs for kind in self._tests.values())
        known = _tunes(job) or not final.tunes
        eta = f" eta {_clock(pace.seconds_for(final.flops_left))}" if known else ""
        return f"[tests {ended}/{ended + final.left}{eta}]"


def _tunes(job: Job) -> bool:
    return job.request.rungs[-1].tuning_steps > 0


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}m{int(seconds) % 60:02d}s"
