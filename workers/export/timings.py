"""Stores wall-clock times of exports with the run, so that a repeated export has the same numbers."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def read_timings(place: str | None, what: dict[str, Any]) -> dict[str, Any] | None:
    """Return the stored times for the same conditions, or None.

    Args:
        place: the folder of times; None if none are stored.
        what: the conditions of the measurement.
    """
    path = _path(place, what)
    try:
        return json.loads(path.read_text())["seconds"] if path else None
    except (OSError, ValueError, KeyError):
        return None


def keep_timings(place: str | None, what: dict[str, Any], seconds: dict[str, Any]) -> None:
    """Store times for the next export; log a warning if the folder cannot be written.

    Args:
        place: the folder of times; None to store none.
        what: the conditions of the measurement.
        seconds: the measured times in seconds.
    """
    path = _path(place, what)
    if path is None:
        return
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"of": what, "seconds": seconds}, indent=1))
    except OSError as error:
        log.warning("times can't be kept in %s (%s): the next export will measure again", path, error.strerror)


def _path(place: str | None, what: dict[str, Any]) -> Path | None:
    name = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    return Path(place) / f"{name}.json" if place else None
