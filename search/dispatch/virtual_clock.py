"""Orders the reports of parallel workers by a virtual clock, so that a search does not depend on their speed."""

from collections.abc import Callable, Hashable
from heapq import heapify, heappop, heappush

from search.loop.job import Job


class VirtualClock:
    """The times at which workers of one constant speed would report.

    Reports are passed to the controller in this order, whichever arrives first. Proposals and promotions then depend on
    the settings and on the number of workers alone: the search is a simulation of equal workers, whose reports are
    measured. A worker waits only for reports that are due before its own.
    """

    def __init__(self, workers: int, work: Callable[[Job, int], float]) -> None:
        """Start the clock at 0.

        Args:
            workers: number of jobs that run at a time.
            work: returns the duration of a rung of a job, on the virtual clock; a rung is named by its index.
        """
        self._work = work
        self._now = 0.0
        self._free = [(0.0, place) for place in range(workers)]
        """Per idle place for a job: time since which it is idle, and its number; a heap."""
        heapify(self._free)
        self._turns: dict[Hashable, tuple[float, int]] = {}
        """Running job -> time of its next report, and its place; of equal times, the lower place comes first."""

    @property
    def has_room(self) -> bool:
        """Return True if another job can start."""
        return bool(self._free)

    @property
    def next(self) -> Hashable | None:
        """Return the key of the job that reports next; None if none runs."""
        return min(self._turns, key=self._turns.__getitem__, default=None)

    def start(self, job: Job) -> None:
        """Start a job at the place that has been idle for longest."""
        _, place = heappop(self._free)
        self._turns[job.key] = self._now + self._work(job, job.request.first_rung), place

    def go_on(self, job: Job, rung: int) -> None:
        """Advance the clock to the report of a job, which continues with another rung."""
        self._now, place = self._turns[job.key]
        self._turns[job.key] = self._now + self._work(job, rung), place

    def end(self, job: Job) -> None:
        """Advance the clock to the report of a job, which ends with it."""
        self._now, place = self._turns.pop(job.key)
        heappush(self._free, (self._now, place))
