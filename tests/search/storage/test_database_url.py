"""URLs of databases: paths with any character, and passwords that are never shown."""

from pathlib import Path

import pytest
from sqlalchemy import JSON, literal, select

from search.storage.database_url import StorageError, file_of, open_engine, parse_url, shown, sqlite_url, url_text


@pytest.mark.parametrize(
    "name", ["plain", "a b", "what?", "50%", "a%20b", "#1", "[x]", "a?mode=b", "ä&=;", "q?uri=true"]
)
def test_a_path_may_hold_any_character(tmp_path: Path, name: str) -> None:
    file = tmp_path / name / "search.db"
    file.parent.mkdir()
    text = url_text(sqlite_url(file))
    assert file_of(parse_url(text)) == file
    engine = open_engine(text)
    engine.connect().close()
    engine.dispose()
    assert file.is_file() and [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["what?", "50%", "a%20b", "#1"])
def test_a_typed_path_is_that_of_the_file_that_is_there(tmp_path: Path, name: str) -> None:
    file = tmp_path / f"{name}.db"
    file.touch()
    assert file_of(parse_url(f"sqlite:///{file}")) == file


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql+psycopg://me:secret@host/db", "postgresql+psycopg://me:***@host/db"),
        ("postgresql+psycopg://me:sec%40ret@host:1/db?x=1", "postgresql+psycopg://me:***@host:1/db?x=1"),
        ("postgresql+psycopg://me:secret@host:port/db", "postgresql+psycopg://***@host:port/db"),
        ("sqlite:////a/b@c.db", "sqlite:////a/b@c.db"),
        (url_text(sqlite_url("/a/v[new]?%.db")), "sqlite:////a/v[new]?%.db"),
    ],
)
def test_a_password_is_not_shown(url: str, told: str) -> None:
    assert shown(url) == told


@pytest.mark.parametrize("url", ["nodriver://me:secret@h/d", "postgresql+psycopg://me:secret@h:x/d", "secret"])
def test_errors_show_none_either(url: str) -> None:
    with pytest.raises(StorageError, match="--storage must be a database URL") as raised:
        open_engine(url)
    assert "me:secret" not in str(raised.value)


@pytest.mark.parametrize("value", [0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0, 2**70, "\ud800", "é", None, [1e22]])
def test_json_columns_keep_every_value(value: object) -> None:
    engine = open_engine("sqlite://")
    with engine.connect() as connection:
        stored = connection.scalar(select(literal(value, JSON)))
    assert repr(stored) == repr(value)
    engine.dispose()
