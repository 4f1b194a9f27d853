"""The actor of Ray Tune: a worker process that runs one rung per step."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from search.dispatch import ray_cluster  # noqa: F401  # first: sets what Ray reads when it is imported

# isort: split
from ray import tune

from workers.requests import TrialRequest
from workers.trial import TrialRun, Worker


class TrialActor(tune.Trainable):
    """A worker process; runs one rung per step and keeps its `Worker` with the model over many trials."""

    worker: Worker | None = None
    """One per process (a class attribute), so that the next trial of a reused actor finds the model loaded."""
    grace_seconds = 30.0
    """Seconds beyond the time limit of its trial after which a worker that does not respond ends its process."""
    _run: TrialRun | None = None
    _seconds = 0.0
    """Seconds that the running trial has taken, without those between its steps."""

    def setup(self, config: dict[str, Any]) -> None:
        """Read the request; do not load the model yet.

        While an actor loads, Tune would give its trial to an idle actor and kill the one that loads.
        """
        self._request = TrialRequest.model_validate_json(config["request"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next job and keep the model in memory; return True: Tune may reuse the actor."""
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Run the next rung and return its result.

        Never raises, since `TrialRun` does not: an exception would kill the process and lose the model. The report is
        returned as JSON text, since Tune flattens nested results.
        """
        if self._run is None:
            if TrialActor.worker is None:
                TrialActor.worker = self.make_worker()
            self._run, self._seconds = TrialRun(TrialActor.worker, self._request), 0.0
        with self._watched():
            rung = self._run.next()
        result: dict[str, Any] = {"done": self._run.ended, "report": self._run.report().model_dump_json()}
        if rung is not None:
            result |= {"rung": rung.rung, "accuracy": rung.accuracy, "flops_ratio": rung.costs["flops_ratio"]}
        return result

    def make_worker(self) -> Worker:
        """Return the worker of this process; overridden in tests to inject faults."""
        return Worker()

    def cleanup(self) -> None:
        """End the running trial, which restores the model."""
        if self._run is not None:
            self._run.close()
            self._run = None

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """End the process if the trial hangs in native code inside the `with` block; Tune has no time limit.

        Between its steps a trial may wait for as long as it takes.
        """
        if self._request.time_limit is None:
            yield
            return
        begin, left = time.monotonic(), self._request.time_limit + self.grace_seconds - self._seconds
        watchdog = threading.Timer(left, os._exit, [1])
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()
            self._seconds += time.monotonic() - begin
