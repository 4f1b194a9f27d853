"""The id of a run, stored in its folder, so that a moved, renamed, copied or linked folder remains the same run."""

import json
import os
from pathlib import Path
from uuid import uuid4

from search.storage.database_url import StorageError

FILE = "run.json"
"""Name of the file, in the folder of a run, that holds the id."""


def new_run_id() -> str:
    """Return a new unique id."""
    return uuid4().hex


def read_run_id(folder: Path) -> str | None:
    """Return the id of the run in a folder, or None if the folder has none.

    Raises:
        StorageError: the file exists but has no id.
    """
    file = folder / FILE
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["id"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise StorageError(
            f'{file} must have the id of a run as {{"id": ...}}, got something else: restore the file, or choose '
            "another --out"
        ) from None


def write_run_id(folder: Path, uid: str) -> None:
    """Write the id of a new run into its folder, atomically."""
    partial = folder / f".{FILE}.{os.getpid()}"
    partial.write_text(json.dumps({"id": uid}) + "\n", encoding="utf-8")
    partial.replace(folder / FILE)
