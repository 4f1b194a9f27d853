"""What a worker is handed: one request, and what it is for."""

from dataclasses import dataclass
from enum import StrEnum

from workers.requests import TrialRequest


class Phase(StrEnum):
    """What a job is for."""

    SEARCH = "search"
    TEST = "test"
    """The final front on the split that nothing was chosen on."""


@dataclass(frozen=True)
class Job:
    """One request for a worker."""

    number: int
    phase: Phase
    request: TrialRequest

    @property
    def key(self) -> tuple[int, Phase, int]:
        """Return what identifies the job: trial, phase and seed."""
        return self.number, self.phase, self.request.seed

    @property
    def name(self) -> str:
        """Return its name in lists of jobs, such as `search-000017` or `test-000017-seed-1`."""
        name = f"{self.phase}-{self.number:06d}"
        return f"{name}-seed-{self.request.seed}" if self.phase is Phase.TEST else name
