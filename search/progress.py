"""Shows how a search goes: a live bar with an ETA on a terminal, one greppable line a trial everywhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from search.controller import Controller, Job, Phase
from workers.requests import RungReport, TrialReport


class Progress:
    """Prints trials as they end. Use as a context manager."""

    def __init__(self, controller: Controller, budget: int, console: Console | None = None) -> None:
        self._controller, self._budget = controller, budget
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._begin = time.monotonic()
        self._first = len(controller.history) - len(controller.history.running())
        self._started: dict[tuple[int, Phase], float] = {}
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
        """A worker takes a job."""
        self._started[job.number, job.phase] = time.monotonic()
        if self._bar:
            what = "trial" if job.phase is Phase.SEARCH else "test of"
            self._bar.update(self._task, description=f"{what} {job.number}")

    def rung(self, job: Job, report: RungReport) -> None:
        """A rung was measured."""
        if self._bar and job.phase is Phase.SEARCH:
            text = f"trial {job.number} rung {report.rung} accuracy {report.accuracy:.3f}"
            self._bar.update(self._task, description=text)

    def ended(self, job: Job, report: TrialReport) -> None:
        """A job is over."""
        seconds = time.monotonic() - self._started.pop((job.number, job.phase), time.monotonic())
        line = (self._trial if job.phase is Phase.SEARCH else self._test)(job, report)
        self._console.print(f"{line} {seconds:.1f}s {self._eta()}".rstrip(), markup=False)
        if self._bar:
            self._bar.update(self._task, completed=self._num_ended(), eta=self._eta())

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
        return f"test trial={job.number} plan={report.plan} test_accuracy={accuracy}"

    def _num_ended(self) -> int:
        return len(self._controller.history) - len(self._controller.history.running())

    def _eta(self) -> str:
        """Time left for the budget at the pace so far; the final test comes on top."""
        ended = self._num_ended()
        if ended <= self._first or ended >= self._budget:
            return ""
        left = (time.monotonic() - self._begin) / (ended - self._first) * (self._budget - ended)
        return f"[{ended}/{self._budget} eta {int(left) // 60}m{int(left) % 60:02d}s]"
