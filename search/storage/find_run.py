"""Finds the run of a folder, in the folder's own database or in the one that is named."""

from pathlib import Path

from search.storage.database_url import StorageError, sqlite_url, url_text
from search.storage.results import Results
from search.storage.run_id import read_run_id


def open_results(out: Path, storage: str | None) -> Results:
    """Open the results of the run in a folder.

    A folder without an id is of an older version, whose database held one run, or runs by their folder's name.

    Raises:
        StorageError: where the folder holds no run; nothing is created.
    """
    folder = out.absolute()
    if storage is None:
        if not (folder / "search.db").is_file():
            raise StorageError(f"--out must be the folder of a run, got {out} without a search.db: {_others(out)}")
        storage = own_database(folder)
    return Results.open(storage, read_run_id(folder))


def own_database(folder: Path) -> str:
    """Return the URL of the database that a run keeps in its folder."""
    return url_text(sqlite_url(folder / "search.db"))


def _others(out: Path) -> str:
    """Name the runs beside a folder that holds none."""
    runs = sorted(str(path.parent) for root in (out, out.parent, Path("runs")) for path in root.glob("*/search.db"))
    if runs:
        return f"there is {', '.join(dict.fromkeys(runs))}"
    return "give --storage where its database is elsewhere, or start a run with `python -m search.run`"
