"""Database URLs: engines that open them, and forms that are safe to show."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

SQLITE_BUSY_SECONDS = 60
"""Seconds that a connection waits for SQLite's write lock."""
_SQLITE = "sqlite:///"
_SQLITE_OPTIONS = frozenset({"uri", "timeout", "mode", "cache", "check_same_thread", "isolation_level"})
"""Options that may follow `?` in the URL of an SQLite file."""


class StorageError(ValueError):
    """A database that can't be used: one line that names it and the reason."""


def parse_url(text: str) -> URL:
    """Return a database URL from its text.

    What follows `sqlite:///` is the path of a file, quoted as in URLs or as it is: it is taken as it is where such a
    file is there, or where a `?` in it is not followed by options that SQLite's driver knows.

    Raises:
        StorageError: for text that is no database URL.
    """
    if text.startswith(_SQLITE):
        path = text.removeprefix(_SQLITE)
        if path and (Path(path).is_file() or ("?" in path and not _has_options(path))):
            return sqlite_url(path)
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise _no_url(shown(text), "it is none") from None


def sqlite_url(path: Path | str) -> URL:
    """Return the URL of an SQLite file, whatever characters its path holds."""
    return URL.create("sqlite", database=str(path))


def file_of(url: URL) -> Path | None:
    """Return the file of an SQLite database, None for a server or a database in memory."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database)).absolute()


def url_text(url: URL) -> str:
    """Return a URL as text with its password, for drivers only."""
    return url.render_as_string(hide_password=False)


def shown(text: str) -> str:
    """Return a database URL as it may be printed, logged and stored: without its password."""
    if text.startswith(_SQLITE):
        file = parse_url(text).database
        return f"{_SQLITE}{file}" if file else text
    try:
        return make_url(text).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        scheme, separator, rest = text.partition("://")
        return f"{scheme}{separator}***@{rest.rpartition('@')[2]}" if "@" in rest else text


def open_engine(url: str) -> Engine:
    """Return an engine for a database URL; SQLite gets write-ahead logging and a busy timeout.

    Raises:
        StorageError: where the URL is no database URL or its driver is missing.
    """
    try:
        return create_engine(parse_url(url), **engine_options(url))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise _no_url(shown(url), str(error).splitlines()[0]) from None


def engine_options(url: str) -> dict[str, Any]:
    """Return the arguments of `create_engine` for a URL; Optuna's engine takes the same."""
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": SQLITE_BUSY_SECONDS}}
    return {"pool_pre_ping": True}


@event.listens_for(Engine, "connect")
def _sqlite_pragmas(connection: Any, _record: Any) -> None:
    """Set SQLite's pragmas. On the class, so that Optuna's own engine is covered as well.

    With write-ahead logging a reader (the dashboard) never blocks the controller. `synchronous=NORMAL` loses no
    committed row when a process dies, only, at worst, the last ones when the machine loses power.
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
