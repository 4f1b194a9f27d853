"""Opens a run: checks its folder and database, then creates or resumes the run, its tables and its study."""

import math
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from search.loop.check_writable import check_storage, check_writable
from search.loop.controller import Controller
from search.loop.problem import Problem
from search.loop.same_scores import is_scored_alike
from search.settings import Settings, SettingsError
from search.storage.database_url import StorageError, file_of, shown, url_text
from search.storage.deleted_files import watch_files
from search.storage.lease import database_scope, fence, held
from search.storage.results import Results, connect, list_runs
from search.storage.run_id import new_run_id, read_run_id, write_run_id
from search.storage.schema import bring_up_to_date
from search.storage.study import SearchStudy
from search.strategies import load_strategy
from workers.reports import TrialState
from workers.software import commit, versions

UNMARKED = {"rule of exact_match": "1"}
"""Fingerprints of runs that were started before these fingerprints were stored; a later rule may have scored them."""


@contextmanager
def open_run(
    settings: Settings, problem: Problem, say: Callable[[str], None] = print, again: bool = False
) -> Iterator[Controller]:
    """Yield the controller of a run, new or resumed, while holding the lease on the run.

    Args:
        settings: settings of the search.
        problem: the search problem.
        say: called with lines for the user, such as that the database was migrated.
        again: as in `Controller`.

    Raises:
        ValueError: settings, folder or database cannot be used; one line for the user. No file has been created then.
    """
    folder, url = settings.run_folder, settings.storage_url
    strategy = load_strategy(settings.strategy, problem.task())
    check_writable(folder, "--out")
    database = check_storage(url)
    _create([folder, *([database.parent] if database else [])])
    engine = connect(url)
    try:
        if (migrated := bring_up_to_date(engine)) is not None:
            say(migrated)
        with ExitStack() as stack:
            if database is not None:  # SQLite allows one writer per file, even if the file holds several runs
                epoch, scope = _hold(stack, engine, database_scope(database), say)
            uid = _run_of(folder, engine)
            if uid is None or _can_start_anew(settings, problem, url, uid):
                uid = _new_run(settings, problem, folder, url)
            if database is None:
                epoch, scope = _hold(stack, engine, uid, say)
            problem = replace(problem, run=uid)
            results = Results.open(url, uid)
            stack.callback(results.close)
            fence(results.engine, scope, epoch)
            watch_files(results.engine, folder)
            _check_same_search(settings, problem, results)
            results.update_settings(_stored(settings))
            study = SearchStudy.open(url, results.run.study, results.transactions)
            yield Controller(settings, problem, study, results, strategy, again)
    finally:
        engine.dispose()


def _hold(stack: ExitStack, engine: Engine, scope: str, say: Callable[[str], None]) -> tuple[int, str]:
    return stack.enter_context(held(engine, scope, say)), scope


def _run_of(folder: Path, engine: Engine) -> str | None:
    """Return the id of the run in a folder, or None if the folder holds no run.

    A folder of an older version has no id. Its run is the one in its own database, or the only run of the database that
    was created in this folder.

    Raises:
        StorageError: the folder belongs to a run that is not in this database.
    """
    runs, uid = list_runs(engine), read_run_id(folder)
    if uid is None:
        own = file_of(engine.url) == folder / "search.db"
        made_here = [run for run in runs if own or run.settings.get("out") == str(folder)]
        if len(made_here) == 1:
            write_run_id(folder, made_here[0].uid)
            return made_here[0].uid
    elif uid in (run.uid for run in runs):
        return uid
    if uid is not None or any((folder / "artifacts").glob("*")):
        raise StorageError(
            f"{folder} belongs to the run {uid or 'of an older version'}, which is not in the database "
            f"{shown(url_text(engine.url))!r}: name the database of the run with --storage, or choose another --out"
        )
    return None


def _new_run(settings: Settings, problem: Problem, folder: Path, url: str) -> str:
    """Store a new run, then its id in its folder; return the id."""
    uid = new_run_id()
    Results.create(url, uid, folder.name, _stored(settings), {**problem.describe(), **_origin()}).close()
    write_run_id(folder, uid)
    return uid


def _stored(settings: Settings) -> dict[str, Any]:
    """Return the settings as they are stored in the database: with an absolute folder, without passwords."""
    return {**settings.stored(), "out": str(settings.run_folder)}


def _create(folders: list[Path]) -> None:
    """Create all folders, or none of them: if one fails, those created before it are removed again."""
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
            raise StorageError(f"{folder} can't be created ({error.strerror}): choose another folder") from None


def _can_start_anew(settings: Settings, problem: Problem, url: str, uid: str) -> bool:
    """Return True if the run in a folder may be replaced by a new one.

    It may if it has no results and either has other settings or failed at the dense plan.
    """
    results = Results.open(url, uid)
    try:
        records = results.records()
        if any(record.rungs for record in records):
            return False
        _check_same_search(settings, problem, results)
    except SettingsError:
        return True
    finally:
        results.close()
    return any(record.plan.is_dense and record.trial.state == TrialState.FAILED for record in records)


def _check_same_search(settings: Settings, problem: Problem, results: Results) -> None:
    """Check that a run is resumed with the settings, model and data that its results depend on.

    Raises:
        SettingsError: one of them has changed.
    """
    stored = Settings.model_validate(results.run.settings).identity()
    mine = settings.identity()
    changed = sorted(name for name in mine if mine[name] != stored.get(name))
    if changed:
        details = ", ".join(f"{name} was {stored.get(name)!r}, now {mine[name]!r}" for name in changed)
        raise SettingsError(
            f"{settings.run_folder} holds a search with other settings ({details}): use them, or choose another --out"
        )
    origin = results.run.origin
    then, now = origin.get("dense_costs", {}).get("flops"), problem.describe()["dense_costs"]["flops"]
    if then is not None and not math.isclose(then, now, rel_tol=1e-9):
        raise SettingsError(
            f"the FLOPs of the dense model must be those stored when {settings.run_folder} was started ({then:.10g}), "
            f"got {now:.10g}, so ratios can't be compared: choose another --out"
        )
    before = origin["fingerprints"]
    for name, mark in problem.fingerprints.items():
        # A run without this fingerprint, from an older version, passes unless `UNMARKED` gives its value.
        if before.get(name, UNMARKED.get(name, mark)) != mark:
            if name.startswith("rule of ") and is_scored_alike(results, name.removeprefix("rule of ")):
                continue
            raise SettingsError(
                f"the {name} changed since {settings.run_folder} was started ({before.get(name, 'an older one')} then, "
                f"{mark} now), so results can't be compared: choose another --out"
            )


def _origin() -> dict[str, Any]:
    """Return the origin of the results: versions, machine, commit."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    return {"versions": versions(), "machine": machine, "commit": commit()}
