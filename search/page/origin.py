"""Section "Origin": settings, versions, machine and fingerprints."""

import json
from collections.abc import Iterator
from typing import Any

from search.page.run_facts import RunFacts
from search.page.section import Piece, Section, Table, Text


def origin(run: RunFacts) -> Section:
    """Return the section."""
    return Section("origin", "Where it comes from", list(_pieces(run)))


def _pieces(run: RunFacts) -> Iterator[Piece]:
    facts: dict[str, Any] = run.summary["origin"]
    settings: dict[str, Any] = run.summary["settings"]
    commit = facts.get("commit")
    yield Text(
        f"Seed {settings['seed']}, "
        + (f"commit {str(commit)[:12]}" if commit else "no commit known")
        + f", {facts.get('machine', 'unknown machine')}."
    )
    yield Table(("setting", "value"), [[name, _shown(settings[name])] for name in settings], "Settings", folded=True)
    versions = [[name, str(version)] for name, version in facts.get("versions", {}).items()]
    yield Table(("package", "version"), versions, "Versions", folded=True)
    prints = [[name, str(value)] for name, value in facts.get("fingerprints", {}).items()]
    data = facts.get("data") or {}
    rows = [[f"rows of {name}", f"{count} rows"] for name, count in data.get("rows", {}).items()]
    yield Table(("of", "fingerprint or size"), [*prints, *rows], "Model and data", folded=True)
    if workers := _workers(run):
        yield Table(("worker", "trials", "facts"), workers, "Workers", folded=True)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _workers(run: RunFacts) -> list[list[str]]:
    """Return one row per kind of worker: host and device, number of its trials, threads and versions."""
    found: dict[tuple[str, str], int] = {}
    for record in run.records:
        if facts := record.trial.worker:
            name = " ".join(str(facts[key]) for key in ("host", "device") if facts.get(key)) or "worker"
            rest = {key: facts[key] for key in facts if key in ("threads", "device_name", "dtype", "machine")}
            key = (name, ", ".join(f"{k} {v}" for k, v in rest.items()))
            found[key] = found.get(key, 0) + 1
    return [[name, f"{count} trials", rest] for (name, rest), count in found.items()]
