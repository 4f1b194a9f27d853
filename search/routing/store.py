"""Stores the router of a run in its folder, and reads it."""

import json
from pathlib import Path
from typing import Any

from search.routing.candidates import RoutingError
from search.routing.result import SCHEMA_VERSION
from search.routing.route import Routed

RESULT, ROUTER = "routing.json", "router.safetensors"


def routed_folder(out: Path) -> Path:
    """Return the folder of the router of a run.

    Args:
        out: folder of the run.
    """
    return out / "routed"


def store(out: Path, result: dict[str, Any], routed: Routed) -> Path:
    """Write the result, and the router if there is one, in place of earlier ones, and return the file of the result.

    Args:
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
    return folder / RESULT


def stored_result(out: Path) -> dict[str, Any] | None:
    """Return the stored result of a run; None if it has no router.

    Args:
        out: folder of the run.

    Raises:
        RoutingError: the result is of another version.
    """
    file = routed_folder(out) / RESULT
    if not file.is_file():
        return None
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if found.get("schema_version") != SCHEMA_VERSION:
        raise RoutingError(
            f"{file} must be of version {SCHEMA_VERSION}, got {found.get('schema_version')}: run search.route again"
        )
    return found


def _write(file: Path, content: bytes) -> None:
    partial = file.with_name(f".{file.name}.partial")
    partial.write_bytes(content)
    partial.replace(file)
