"""Finds the run of a folder, in the database of the folder or in a named one."""

from pathlib import Path

from search.storage.database_url import StorageError, sqlite_url, url_text
from search.storage.results import Results
from search.storage.run_id import read_run_id


def open_results(out: Path, storage: str | None) -> Results:
    """Return the results of the run in a folder.

    A folder without an id is from an older version, whose database has a single run.

    Args:
        out: the folder of the run.
        storage: URL of the database; by default `search.db` in the folder.

    Raises:
        StorageError: the folder has no run. Nothing is created.
    """
    folder = out.absolute()
    if storage is None:
        if not (folder / "search.db").is_file():
            raise StorageError(f"--out must be the folder of a run, got {out} without a search.db: {_others(out)}")
        storage = own_database(folder)
    return Results.open(storage, read_run_id(folder))


def own_database(folder: Path) -> str:
    """Return the URL of the database in the folder of a run."""
    return url_text(sqlite_url(folder / "search.db"))


def _others(out: Path) -> str:
    """Return the hint for a folder without a run: the runs nearby, or how to start one."""
    runs = sorted(str(path.parent) for root in (out, out.parent, Path("runs")) for path in root.glob("*/search.db"))
    if runs:
        return f"there is {', '.join(dict.fromkeys(runs))}"
    return "name its database with --storage if it is elsewhere, or start a run with `python -m search.run`"
