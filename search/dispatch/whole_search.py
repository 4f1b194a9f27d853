"""Runs a whole search: opens the run, dispatches its jobs, and waits while database, disk or device is unavailable."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from objectives.latency import TimeTable
from search.console.closing import print_front
from search.console.progress import Progress
from search.console.terminal import console
from search.dispatch.exit_codes import GIVEN_UP, INTERRUPTED, TERMINATED, TRY_AGAIN
from search.dispatch.tracking import Tracking
from search.loop.controller import Controller
from search.loop.measured_times import check_place, stored_times
from search.loop.open_run import open_run
from search.loop.problem import Problem
from search.settings import Settings, SettingsError
from search.storage.database_unavailable import reason_away
from search.storage.database_url import StorageError
from search.storage.deleted_files import FilesGoneError
from spaces.plan import Plan
from workers.requests import TrialRequest

if TYPE_CHECKING:
    from workers.trial import Worker

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""First and longest pause between two attempts in seconds; each pause is twice the previous one."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, which SLURM and spot machines send before they end a process."""


class Patience:
    """Waits between attempts with growing pauses, and gives up if no trial has ended for `seconds`."""

    def __init__(self, seconds: float, say: Callable[[str], None]) -> None:
        self._seconds, self._say = seconds, say
        self.progressed()

    def progressed(self) -> None:
        """Reset the pauses, since a trial has ended."""
        self._since: float | None = None
        self._pause = FIRST_PAUSE

    def wait(self, reason: str) -> bool:
        """Print the reason and sleep for the next pause; return False immediately if the time is used up.

        Args:
            reason: what is unavailable, in one line for the user.
        """
        self._since = time.monotonic() if self._since is None else self._since
        left = self._seconds - (time.monotonic() - self._since)
        if left <= 0:
            self._say(f"stopped: {reason}; no trial was lost: repair that, then the same command continues the search")
            return False
        pause = min(self._pause, left)
        self._say(f"waiting {pause:.0f} s: {reason}")
        time.sleep(pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return True


class WholeSearch:
    """One search, from opening its run to printing its front."""

    def __init__(
        self, settings: Settings, problem: Problem, run_jobs: Callable[[Controller, Progress], None] | None = None
    ) -> None:
        """Prepare the search.

        Args:
            settings: settings of the search.
            problem: the search problem.
            run_jobs: runs the jobs until the search is finished; by default in this process, or on Ray if the settings
                ask for it.
        """
        self._settings, self._problem = settings, problem
        self._run_jobs = run_jobs
        self._out = console()
        self._worker: Worker | None = None
        self._patience = Patience(settings.patience, self._say)

    def run(self) -> int:
        """Run the search and return the exit code, 0 if all jobs have ended.

        Raises:
            ValueError: settings, folder, database or model can't be used; one line for the user.
        """
        again = False
        with _termination():
            while True:
                try:
                    return self._once(again)
                except FilesGoneError:
                    raise
                except Exception as error:
                    reason = reason_away(error)
                    if reason is None and again and isinstance(error, StorageError | SettingsError):
                        reason = str(error)  # a folder or database that could be used before is unavailable
                    if reason is None:
                        raise
                again = True
                if not self._patience.wait(reason):
                    return TRY_AGAIN

    def _once(self, again: bool) -> int:
        """Open the run, run its jobs until it is finished or interrupted, print its front and return the exit code."""
        if self._problem.lacks_times:
            self._problem = self._problem.timed(self._times())
        with open_run(self._settings, self._problem, self._say, again) as controller:
            try:
                self._dispatch(controller)
            except KeyboardInterrupt as stop:
                controller.interrupted()
                print_front(self._settings, controller.finished)
                return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
            if controller.given_up is not None:
                controller.interrupted(controller.given_up)
                print(f"error: {controller.given_up}: repair that, then run the command again", file=sys.stderr)
                return GIVEN_UP
            controller.check_sight()
            controller.close()
            print_front(self._settings, controller.finished)
            return 0 if controller.summary()["complete"] else GIVEN_UP

    def _dispatch(self, controller: Controller) -> None:
        ended = self._patience.progressed
        with (
            Tracking(self._settings, controller, self._say) as tracking,
            Progress(controller, self._settings.budget, ended=ended, listeners=[tracking]) as progress,
        ):
            if self._run_jobs is not None:
                self._run_jobs(controller, progress)
                return
            model = self._settings.model.name
            if self._settings.on_ray:
                progress.note(f"starting {self._settings.num_workers} workers, each loads model {model} ...")
                from search.dispatch.ray_tune import run_on_ray

                run_on_ray(self._settings, controller, progress)
                return
            progress.note(f"loading model {model} ...")
            from search.dispatch.in_process import run_here  # imports torch

            if not controller.finished:
                self._open_worker()
                if (times := self._problem.deployment.times) is not None:
                    check_place(times, self._open_worker().place(self._dense_request))
            run_here(controller, progress, self._worker)

    def _times(self) -> TimeTable:
        """Return the times stored with the run, or measure them."""
        if (stored := stored_times(self._settings, self._problem)) is not None:
            return stored
        space = self._problem.space
        self._say(f"loading model {self._settings.model.name} and measuring the times of its blocks ...")
        choices = [space.choices(index) for index in range(space.num_blocks)]
        return self._open_worker().times(self._dense_request, choices)

    def _open_worker(self) -> "Worker":
        from search.dispatch.in_process import opened  # imports torch

        if self._worker is None:
            self._worker = opened(self._dense_request)
        return self._worker

    @property
    def _dense_request(self) -> TrialRequest:
        return self._problem.request(None, Plan.dense(self._problem.shape.num_blocks))

    def _say(self, line: str) -> None:
        self._out.print(line, markup=False, soft_wrap=True)


@contextmanager
def _termination() -> Iterator[None]:
    """Raise Terminated on SIGTERM and SIGHUP inside the `with` block."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
