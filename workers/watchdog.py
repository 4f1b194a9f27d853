"""Limits the time of a trial, counted only while the trial runs."""

from __future__ import annotations

import signal
import threading
from time import monotonic
from types import FrameType
from typing import Any


class TrialTimeout(Exception):
    """The trial has used up its time limit."""


class Watchdog:
    """Limits the total time of several `with watchdog:` blocks; raises TrialTimeout inside the one that exceeds it.

    Uses the interval timer of the process, which works in the main thread only; in other threads TrialTimeout is raised
    at the start of the next block. A timer set by other code is restored with its remaining time.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit, self.used = limit, 0.0

    def __enter__(self) -> Watchdog:
        self._start = monotonic()
        self._armed = False
        if self.limit is not None:
            if self.used >= self.limit:
                self._bark()
            self._armed = threading.current_thread() is threading.main_thread()
            if self._armed:
                self._handler = signal.signal(signal.SIGALRM, self._bark)
                self._timer = signal.setitimer(signal.ITIMER_REAL, self.limit - self.used)
        return self

    def __exit__(self, *exception: Any) -> None:
        self.used += monotonic() - self._start
        if self._armed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._handler)
            left, interval = self._timer
            if left:
                signal.setitimer(signal.ITIMER_REAL, max(left - (monotonic() - self._start), 1e-3), interval)

    def _bark(self, signum: int = 0, frame: FrameType | None = None) -> None:
        raise TrialTimeout(f"the trial must end within its time limit of {self.limit:g} s; raise time_limit")
