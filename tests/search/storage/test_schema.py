"""Databases of other versions: migrated after a backup, or refused."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

from search.storage.database_url import StorageError, open_engine, sqlite_url, url_text
from search.storage.schema import NEWEST, VERSION_TABLE, bring_up_to_date
from search.storage.tables import Table

OLD = Path(__file__).parent / "version_0001.sql"
"""A search of four trials, by the last version that stored none, as `sqlite3 search.db .dump` writes it."""


@pytest.fixture
def old(tmp_path: Path) -> Engine:
    with sqlite3.connect(tmp_path / "search.db") as connection:
        connection.executescript(OLD.read_text(encoding="utf-8"))
    return open_engine(url_text(sqlite_url(tmp_path / "search.db")))


def differences(engine: Engine) -> list[object]:
    """What the database lacks or has beside our tables; Optuna's tables aside."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        found = compare_metadata(context, Table.metadata)
    return [each for each in found if each[0] not in ("remove_table", "remove_index")]


def test_new_tables_are_those_of_the_code(tmp_path: Path) -> None:
    engine = open_engine(url_text(sqlite_url(tmp_path / "search.db")))
    assert bring_up_to_date(engine) is None
    assert differences(engine) == []
    with engine.connect() as connection:
        stamped = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    assert stamped == NEWEST, "alembic's last migration"


def test_an_older_database_becomes_one_of_today_after_a_backup(old: Engine, tmp_path: Path) -> None:
    told = bring_up_to_date(old)
    backup = tmp_path / "search.db.version-0001"
    assert told is not None and str(backup) in told
    assert differences(old) == []
    assert bring_up_to_date(old) is None, "once"
    with sqlite3.connect(backup) as before, old.connect() as after:
        for table in ("trial", "rung_result", "event"):
            count = f"SELECT count(*) FROM {table}"
            assert before.execute(count).fetchone()[0] == after.scalar(text(count)) > 0
        assert after.execute(text("SELECT name, study, length(uid) FROM run")).all() == [("old", "old", 32)]


def test_a_migration_that_fails_leaves_the_database_as_it_was(old: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with old.begin() as connection:
        connection.execute(text("CREATE TABLE lease (x INTEGER)"))  # in the way of the new one
    with pytest.raises(Exception, match="lease"):
        bring_up_to_date(old)
    with old.connect() as connection:
        columns = connection.execute(text("PRAGMA table_info(run)")).mappings().all()
    assert "uid" not in {column["name"] for column in columns}


def test_a_newer_database_is_refused(old: Engine) -> None:
    bring_up_to_date(old)
    with old.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StorageError, match="got 9999"):
        bring_up_to_date(old)
