"""The id of a run, which lies in its folder: a moved, renamed, copied or linked folder is the same run."""

import json
import os
from pathlib import Path
from uuid import uuid4

from search.storage.database_url import StorageError

FILE = "run.json"


def new_run_id() -> str:
    """Return an id that no other run has."""
    return uuid4().hex


def read_run_id(folder: Path) -> str | None:
    """Return the id of the run in a folder, None where it holds none.

    Raises:
        StorageError: where the file that holds the id can't be read.
    """
    file = folder / FILE
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["id"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise StorageError(
            f'{file} must hold the id of a run as {{"id": ...}}, got something else: put the file back, or take '
            "another --out"
        ) from None


def write_run_id(folder: Path, uid: str) -> None:
    """Write the id of a new run into its folder, all at once."""
    partial = folder / f".{FILE}.{os.getpid()}"
    partial.write_text(json.dumps({"id": uid}) + "\n", encoding="utf-8")
    partial.replace(folder / FILE)
