"""One transaction per event of a search, shared by the study and the results tables."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Insert


class Transactions:
    """Transactions on one connection of an engine; one that begins inside another is a part of it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        """Kept from one transaction to the next, until one fails."""

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Yield a connection whose changes are kept all at the end of the outermost `with`, or not at all."""
        connection = self._connection = self._connection or self._engine.connect()
        if connection.in_transaction():
            yield connection
            return
        try:
            with connection.begin():
                yield connection
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()


def inserted_id(connection: Connection, statement: Insert, row: Mapping[str, Any]) -> int:
    """Insert one row and return its primary key."""
    key = connection.execute(statement, row).inserted_primary_key
    assert key is not None, "the database returns the key of a row"
    return int(key[0])
