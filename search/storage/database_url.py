"""Database URLs: parses them, opens engines, and hides passwords."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from pydantic_core import from_json
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

SQLITE_BUSY_SECONDS = 60
"""Maximum time that a connection waits for SQLite's write lock, in seconds."""
_SQLITE = "sqlite:///"
_SQLITE_OPTIONS = frozenset({"uri", "timeout", "mode", "cache", "check_same_thread", "isolation_level"})
"""Options that may follow `?` in the URL of an SQLite file."""


class StorageError(ValueError):
    """A database or folder that can't be used. The message is one line that names it and the reason."""


def parse_url(text: str) -> URL:
    """Return the database URL of a text.

    The part after `sqlite:///` is a path, URL-quoted or not. It is taken literally if such a file exists, or if it has
    a `?` that is not followed by options of SQLite's driver.

    Raises:
        StorageError: the text is not a database URL.
    """
    if text.startswith(_SQLITE):
        path = text.removeprefix(_SQLITE)
        if path and (Path(path).is_file() or ("?" in path and not _has_options(path))):
            return sqlite_url(path)
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise _no_url(shown(text), "which can't be parsed") from None


def sqlite_url(path: Path | str) -> URL:
    """Return the URL of an SQLite file; its path may contain any characters."""
    return URL.create("sqlite", database=str(path))


def file_of(url: URL) -> Path | None:
    """Return the file of an SQLite database; None for a server or a database in memory."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database)).absolute()


def url_text(url: URL) -> str:
    """Return a URL as text including its password; for drivers only, never to be shown."""
    return url.render_as_string(hide_password=False)


def shown(text: str) -> str:
    """Return a database URL without its password, safe to print, log and store."""
    if text.startswith(_SQLITE):
        file = parse_url(text).database
        return f"{_SQLITE}{file}" if file else text
    try:
        return make_url(text).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        scheme, separator, rest = text.partition("://")
        return f"{scheme}{separator}***@{rest.rpartition('@')[2]}" if "@" in rest else text


def open_engine(url: str) -> Engine:
    """Return an engine for a database URL, with write-ahead logging and a busy timeout for SQLite.

    Raises:
        StorageError: the text is not a database URL, or the driver is not installed.
    """
    try:
        return create_engine(parse_url(url), **engine_options(url))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise _no_url(shown(url), str(error).splitlines()[0]) from None


def engine_options(url: str) -> dict[str, Any]:
    """Return the keyword arguments of `create_engine` for a URL; also used for Optuna's engine."""
    shared: dict[str, Any] = {"json_deserializer": _parse_json}
    if url.startswith("sqlite"):
        return {**shared, "connect_args": {"timeout": SQLITE_BUSY_SECONDS}}
    return {**shared, "pool_pre_ping": True}


def _parse_json(text: str | bytes) -> Any:
    """Parse a JSON column with pydantic's parser, which is faster; Python's takes lone surrogates, too."""
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text)


@event.listens_for(Engine, "connect")
def _sqlite_pragmas(connection: Any, _record: Any) -> None:
    """Set SQLite's pragmas on each new connection.

    The listener is on the class `Engine`, so that it covers Optuna's engine as well. With write-ahead logging a reader
    such as the dashboard never blocks the controller. With `synchronous=NORMAL` no committed row is lost if a process
    dies; if the machine loses power, the latest ones may be.
    """
    if type(connection).__module__.startswith("sqlite3"):
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()


def _has_options(text: str) -> bool:
    _, mark, options = text.partition("?")
    names = [name for name, _ in parse_qsl(options, keep_blank_values=True)]
    return bool(mark and names) and all(name in _SQLITE_OPTIONS for name in names)


def _no_url(text: str, reason: str) -> StorageError:
    return StorageError(
        "--storage must be a database URL such as sqlite:///runs/x/search.db or "
        f"postgresql+psycopg://user@host/name, got {text!r} ({reason})"
    )
