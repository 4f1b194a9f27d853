"""Reports a search to experiment trackers as it runs: rungs, trials, failures and the front.

The controller's process reports, wherever trials run. A tracker that fails is left out with a warning: a search does
not end because a server is away.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from objectives.hypervolume import hypervolume
from objectives.objectives import COST_NAMES, MAXIMIZE, REFERENCE
from search.loop.controller import Controller
from search.loop.job import Job, Phase
from search.settings import Settings
from search.trackers import SINKS, Sink, Tracked
from workers.reports import RungReport, TrialReport, TrialState


class Tracking:
    """The trackers of one search; a context manager."""

    def __init__(self, settings: Settings, controller: Controller, say: Callable[[str], None]) -> None:
        """Open the trackers that the settings name.

        Args:
            settings: settings of the search.
            controller: controller of the search.
            say: receives a line for each tracker that fails.
        """
        self._controller, self._say = controller, say
        self._sinks: dict[str, Sink] = {}
        uid, name = controller.run_id
        tracked = Tracked(uid, name, settings.run_folder, settings.stored())
        for each in settings.callbacks:
            with self._guarded(each):
                self._sinks[each] = SINKS[each](tracked)

    def __enter__(self) -> "Tracking":
        return self

    def __exit__(self, *_: Any) -> None:
        for name, sink in list(self._sinks.items()):
            with self._guarded(name):
                sink.close()

    def rung(self, job: Job, report: RungReport) -> None:
        """Report a finished rung: of the search by its number, of the final test as `test`."""
        place = "test" if job.phase is Phase.TEST else f"rung_{report.rung}"
        seed = f"/seed_{job.request.seed}" if job.phase is Phase.TEST else ""
        values = {"accuracy": report.accuracy, "questions": report.questions, "tuning_steps": report.tuning_steps}
        self._numbers({f"{place}{seed}/{name}": float(value) for name, value in values.items()}, job.number)

    def ended(self, job: Job, report: TrialReport) -> None:
        """Report how a trial ended, and the front with it."""
        if job.phase is Phase.TEST or not self._sinks:
            return
        seen = self._controller.history.observation(job.number)
        counts = {f"trials/{state}": float(count) for state, count in self._controller.summary().items()}
        self._numbers({f"trial/{self._controller.minimized}_ratio": seen.flops_ratio, **counts}, job.number)
        if self._controller.history.record(job.number).state == TrialState.FAILED:
            self._failures(job.number)
        elif seen.full and seen.accuracy is not None:
            self._numbers({"trial/accuracy": seen.accuracy}, job.number)
            self._front(job.number)

    def _failures(self, number: int) -> None:
        """Report all failures again: trackers keep the last text of a name only."""
        rows = "\n".join(f"| {r.number} | `{r.plan}` | {r.reason} |" for r in self._controller.history.failed())
        self._text("failures", f"| trial | plan | reason |\n|---|---|---|\n{rows}", number)

    def _front(self, number: int) -> None:
        members = self._controller.history.front()
        points = [trial.point for trial in members if trial.point is not None]
        self._numbers(
            {"front/plans": float(len(members)), "front/hypervolume": hypervolume(points, REFERENCE, MAXIMIZE)}, number
        )
        rows = "\n".join(f"| {t.number} | `{t.plan}` | {t.accuracy:.4f} | {t.flops_ratio:.4f} |" for t in members)
        self._text(
            "front",
            f"| trial | plan | accuracy | {COST_NAMES[self._controller.minimized]} |\n|---|---|---|---|\n{rows}",
            number,
        )

    def _numbers(self, values: Mapping[str, float], step: int) -> None:
        for name, sink in list(self._sinks.items()):
            with self._guarded(name):
                sink.numbers(values, step)

    def _text(self, what: str, text: str, step: int) -> None:
        for name, sink in list(self._sinks.items()):
            with self._guarded(name):
                sink.text(what, text, step)

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        """Leave a tracker out after an error, whatever its package raises."""
        try:
            yield
        except Exception as error:  # trackers are foreign packages with network connections; none may end a search
            self._sinks.pop(name, None)
            reason = " ".join(str(error).split())[:200]
            self._say(f"warning: --callbacks {name} is left out from here on ({type(error).__name__}: {reason})")
