"""The version of the tables of a database: creates them, migrates older ones after a backup, or rejects them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from search.storage.database_url import StorageError, file_of, shown, url_text
from search.storage.tables import Table

if TYPE_CHECKING:
    from alembic.config import Config

NEWEST = "0005"
"""Version of the tables after the last migration. A database of this version is opened without alembic."""
VERSION_TABLE = "skipsearch_version"
"""Table in which alembic keeps the version."""
UNVERSIONED = "0001"
"""Version of the databases that have no version table."""


def bring_up_to_date(engine: Engine) -> str | None:
    """Create the tables if there are none, and migrate older ones after a backup.

    Returns:
        One line for the user with both versions and the name of the backup; None if nothing was migrated.

    Raises:
        StorageError: the tables are of a newer version, or so old that their searches can't be resumed.
    """
    with engine.connect() as connection:
        version = _version(connection)
    if version == NEWEST:
        return None
    from alembic import command  # slow to import
    from alembic.script import ScriptDirectory

    _refuse_the_oldest(engine)
    scripts = ScriptDirectory.from_config(_config())
    if version is None:
        with engine.begin() as connection:
            Table.metadata.create_all(connection)
            command.stamp(_config(connection), "head")
        return None
    if version not in {script.revision for script in scripts.walk_revisions()}:
        raise StorageError(
            f"the tables must be of version {NEWEST} or older, got {version} in {shown(url_text(engine.url))!r}: "
            "use the newer skipsearch that created them"
        )
    backup = _back_up(engine, version)
    with _one_transaction(engine) as connection:
        command.upgrade(_config(connection), "head")
    return f"The database was migrated from version {version} to {NEWEST}; as it was: {backup}"


@contextmanager
def _one_transaction(engine: Engine) -> Iterator[Connection]:
    """Yield a connection on which all statements, including CREATE and ALTER TABLE, are committed together or never.

    SQLite's driver begins no transaction before such statements, and recreating a table requires that foreign keys are
    not checked.
    """
    if engine.dialect.name != "sqlite":
        with engine.begin() as connection:
            yield connection
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        finally:
            connection.exec_driver_sql("PRAGMA foreign_keys=ON")


def _version(connection: Connection) -> str | None:
    """Return the version of the tables, or None if there are none."""
    tables = inspect(connection)
    if not tables.has_table("trial"):
        return None
    if not tables.has_table(VERSION_TABLE):
        return UNVERSIONED
    version: str | None = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
    return version


def _config(connection: Connection | None = None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _back_up(engine: Engine, version: str) -> str:
    """Copy an SQLite file to a new file beside it, or the tables of a server to new tables; return the names."""
    file = file_of(engine.url)
    if file is not None:
        copy = _free_name(file.with_name(f"{file.name}.version-{version}"))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM INTO :copy"), {"copy": str(copy)})
        return str(copy)
    with engine.begin() as connection:
        made = [name for name in Table.metadata.tables if inspect(connection).has_table(name)]
        for name in made:
            connection.execute(text(f'CREATE TABLE "{name}_version_{version}" AS TABLE "{name}"'))
    return f"the tables {', '.join(f'{name}_version_{version}' for name in made)}"


def _free_name(path: Path) -> Path:
    number = 1
    free = path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def _refuse_the_oldest(engine: Engine) -> None:
    """Raise StorageError if the tables allow one trial per plan only, so that no trial can continue another."""
    tables = inspect(engine)
    if tables.has_table("trial") and any("digest" in c["column_names"] for c in tables.get_unique_constraints("trial")):
        raise StorageError(
            f"{shown(url_text(engine.url))!r} was created by a version whose searches can't be resumed: start a new "
            "search (--out), with this one as --warm-start"
        )
