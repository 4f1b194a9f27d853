"""A job: the request that a worker runs, and its purpose."""

from dataclasses import dataclass
from enum import StrEnum

from workers.requests import TrialRequest


class Phase(StrEnum):
    """The purpose of a job."""

    SEARCH = "search"
    """A trial of the search."""
    TEST = "test"
    """A test of the final front on the test split."""


@dataclass(frozen=True)
class Job:
    """One request for a worker, with the trial that it belongs to."""

    number: int
    """Number of the trial."""
    phase: Phase
    request: TrialRequest

    @property
    def key(self) -> tuple[int, Phase, int]:
        """Return (trial, phase, seed), which identifies the job."""
        return self.number, self.phase, self.request.seed

    @property
    def name(self) -> str:
        """Return the name of the job for logs, such as `search-000017` or `test-000017-seed-1`."""
        name = f"{self.phase}-{self.number:06d}"
        return f"{name}-seed-{self.request.seed}" if self.phase is Phase.TEST else name
