"""Follows a run: what is made of it is made again when the run has changed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from sqlalchemy import func, select

from search.page.run_facts import RunFacts, options_of
from search.storage.find_run import open_results
from search.storage.results import Results
from search.storage.tables import Routing, RungResult, Trial

Made = TypeVar("Made")


@dataclass
class Followed(Generic[Made]):
    """Something that is made of a run, such as its page. Several threads may use it."""

    out: Path
    storage: str | None
    make: Callable[[RunFacts], Made]
    _state: tuple[str, Made] | None = None
    _lock: Lock = field(default_factory=Lock)

    def now(self) -> tuple[str, Made]:
        """Return a version of the run, which changes with it, and what is made of that version.

        Raises:
            StorageError: the run can't be read.
        """
        with self._lock:
            results = open_results(self.out, self.storage)
            try:
                version = version_of(results)
                if self._state is None or version != self._state[0]:
                    self._state = version, self.make(RunFacts(results, options_of(self.out, self.storage)))
            finally:
                results.close()
            return self._state


def version_of(results: Results) -> str:
    """Return a text that changes whenever a rung is measured, a trial begins or ends, or a router is stored."""
    counts = "-".join(f"{state}{count}" for state, count in sorted(results.counts().items()))
    latest = select(func.max(RungResult.id), func.count(RungResult.id)).join(Trial, Trial.id == RungResult.trial_id)
    with results.engine.connect() as connection:
        newest, rungs = connection.execute(latest.where(Trial.run_id == results.run.id)).one()
        routed = connection.scalar(select(Routing.created).where(Routing.run_id == results.run.id))
    return f"{counts}.{newest}.{rungs}.{results.run.finished is not None:d}.{routed}"
