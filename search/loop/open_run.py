"""Opens a run: checks everything first, then creates the folder, the study and the tables, or takes them up."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from search.loop.controller import Controller
from search.loop.problem import Problem
from search.settings import Settings, SettingsError
from search.storage.results import Results
from search.storage.run_lock import name_lock, run_lock
from search.storage.study import SearchStudy
from search.storage.tables import StorageError, open_engine
from search.strategies import load_strategy
from workers.software import commit, versions


@contextmanager
def open_run(settings: Settings, problem: Problem) -> Iterator[Controller]:
    """The controller of a run, new or taken up, held against a second one.

    Raises:
        ValueError: one clear line; where it is raised nothing was created.
    """
    folder, url = settings.run_folder, settings.storage_url
    strategy = load_strategy(settings.strategy, problem.task())
    _check_writable(folder, "--out")
    database = _check_storage(url)
    _create([folder, *([database.parent] if database else [])])
    with run_lock(folder), name_lock(url, folder.name):
        origin = {**problem.describe(), **_origin()}
        results = Results.create(url, folder.name, _stored(settings), origin)
        _check_same_search(settings, problem, results)
        results.update_settings(_stored(settings))
        study = SearchStudy.open(url, folder.name)
        try:
            yield Controller(settings, problem, study, results, strategy)
        finally:
            study.close()
            results.close()


def _stored(settings: Settings) -> dict[str, Any]:
    return {**settings.model_dump(mode="json"), "out": str(settings.run_folder)}


def _check_writable(folder: Path, option: str) -> None:
    """Whether a folder can be created or written, without creating it."""
    parent = folder
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise StorageError(f"{option} must be a folder that can be written, got {folder}: {parent} is not one")


def _create(folders: list[Path]) -> None:
    """Creates folders, or none of them: what a read-only disk refuses leaves nothing behind."""
    made: list[Path] = []
    for folder in folders:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            for path in reversed(missing):
                path.mkdir()
                made.append(path)
        except OSError as error:
            for path in reversed(made):
                path.rmdir()
            raise StorageError(f"{folder} can't be created ({error.strerror}): take another folder") from None


def _check_storage(url: str) -> Path | None:
    """Whether the database can be used, without creating it; the file where it is one."""
    open_engine(url).dispose()
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        Results.check(url)
        return None
    if not parsed.database or parsed.database == ":memory:":
        raise StorageError(f"--storage must outlive the process, got {url!r}: name a file or a server")
    file = Path(parsed.database).absolute()
    _check_writable(file.parent, "--storage")
    if file.is_dir():
        raise StorageError(f"--storage must name a database file, got the folder {file}")
    return file


def _check_same_search(settings: Settings, problem: Problem, results: Results) -> None:
    """A run is taken up only with the settings that gave its numbers their meaning."""
    stored = Settings.model_validate(results.run.settings).identity()
    mine = settings.identity()
    changed = sorted(name for name in mine if mine[name] != stored.get(name))
    if changed:
        details = ", ".join(f"{name} was {stored.get(name)!r}, now {mine[name]!r}" for name in changed)
        raise SettingsError(
            f"{settings.run_folder} holds a search with other settings ({details}): use them, or take another --out"
        )
    before = results.run.origin["fingerprints"]
    for name, mark in problem.fingerprints.items():
        if before.get(name) != mark:
            raise SettingsError(
                f"the {name} changed since {settings.run_folder} was started (fingerprint {before.get(name)} then, "
                f"{mark} now): its numbers can't be compared, take another --out"
            )


def _origin() -> dict[str, Any]:
    """Where numbers come from: versions, commit, machine."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    return {"versions": versions(), "machine": machine, "commit": commit()}
