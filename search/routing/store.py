"""Stores the router of a run in its database and its folder, and reads it."""

import json
from pathlib import Path
from typing import Any

from search.routing.candidates import RoutingError
from search.routing.decisions import decisions
from search.routing.result import SCHEMA_VERSION
from search.routing.route import Routed
from search.storage.results import Results

RESULT, ROUTER = "routing.json", "router.safetensors"


def routed_folder(out: Path) -> Path:
    """Return the folder of the router of a run.

    Args:
        out: folder of the run.
    """
    return out / "routed"


def store(results: Results, out: Path, result: dict[str, Any], routed: Routed) -> Path:
    """Store the result, and the router if there is one, in place of earlier ones, and return the file of the result.

    The database has the result, which reports read. The folder has it too, beside the weights of the router.

    Args:
        results: results of the run.
        out: folder of the run.
        result: the result as JSON values.
        routed: the router.

    Raises:
        RoutingError: the folder can't be written.
    """
    from safetensors.torch import save

    folder = routed_folder(out)
    try:
        folder.mkdir(exist_ok=True)
        if routed.learned is not None:
            state = {name: each.contiguous() for name, each in routed.learned.router.state_dict().items()}
            _write(folder / ROUTER, save(state))
        _write(folder / RESULT, (json.dumps(result, indent=1) + "\n").encode())
    except OSError as error:
        raise RoutingError(f"--out must be a folder that can be written, got {folder} ({error.strerror})") from None
    results.keep_routing(result, decisions(routed))
    return folder / RESULT


def stored_result(results: Results) -> dict[str, Any] | None:
    """Return the stored result of a run; None if it has no router.

    Args:
        results: results of the run.

    Raises:
        RoutingError: the result is of another version.
    """
    row = results.routing()
    if row is None:
        return None
    version = row.result.get("schema_version")
    if version != SCHEMA_VERSION:
        raise RoutingError(
            f"the stored router must be of version {SCHEMA_VERSION}, got {version}: run search.route again"
        )
    return row.result


def _write(file: Path, content: bytes) -> None:
    partial = file.with_name(f".{file.name}.partial")
    partial.write_bytes(content)
    partial.replace(file)
