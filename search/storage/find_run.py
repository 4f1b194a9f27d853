"""Finds the run that a reading command is asked about, by its folder or its database."""

from pathlib import Path

from search.storage.results import Results
from search.storage.tables import StorageError


def open_results(out: Path, storage: str | None) -> Results:
    """The results of the run in a folder.

    Raises:
        StorageError: where the folder holds no run; nothing is created.
    """
    if storage is None:
        file = out.absolute() / "search.db"
        if not file.is_file():
            raise StorageError(f"--out must be the folder of a run, got {out} without a search.db: {_others(out)}")
        storage = f"sqlite:///{file}"
    return Results.open(storage, out.absolute().name)


def _others(out: Path) -> str:
    """The runs beside a folder that holds none."""
    runs = sorted(str(path.parent) for root in (out, out.parent, Path("runs")) for path in root.glob("*/search.db"))
    if runs:
        return f"there is {', '.join(dict.fromkeys(runs))}"
    return "give --storage where its database is elsewhere, or start a run with `python -m search.run`"
