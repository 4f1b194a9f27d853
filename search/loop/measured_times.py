"""The measured times of a run: a run that continues reads them from its database, so that predictions never change."""

from objectives.latency import PLACE, LatencyError, TimeTable
from search.loop.problem import Problem
from search.settings import Settings
from search.storage.database_url import StorageError
from search.storage.find_run import open_results
from search.storage.run_id import read_run_id


def stored_times(settings: Settings, problem: Problem) -> TimeTable | None:
    """Return the times that are stored with the run in the folder of the settings; None if there are none.

    A run without results may be replaced by one with other settings or another model. Its times are then not used.

    Args:
        settings: settings of the search.
        problem: the search problem.
    """
    if read_run_id(settings.run_folder) is None:
        return None
    try:
        results = open_results(settings.run_folder, settings.storage)
    except StorageError:
        return None  # opening the run reports it
    try:
        has_results = any(record.rungs for record in results.records())
        is_same = Settings.model_validate(results.run.settings).identity() == settings.identity()
        fits = is_same and results.run.origin["fingerprints"] == problem.fingerprints
        stored = results.run.origin.get("times")
        return TimeTable.from_dict(stored) if stored and (has_results or fits) else None
    finally:
        results.close()


def check_place(times: TimeTable, here: dict[str, object]) -> None:
    """Check that a search goes on where its times were measured.

    Args:
        times: the times of the run.
        here: device, processor and threads of the worker.

    Raises:
        LatencyError: one of them differs.
    """
    for name in PLACE:
        if times.origin.get(name) != here.get(name):
            raise LatencyError(
                f"a search by latency must stay on the {name} on which its times were measured "
                f"({times.origin.get(name)}), got {here.get(name)}: continue it there, or choose another --out"
            )
