"""One transaction per event of a search, shared by the study and the results tables."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Insert


class Transactions:
    """Transactions on one connection of an engine. A transaction that begins inside another joins it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        """The connection, kept open between transactions; replaced after one fails."""

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Yield a connection; its changes are committed together at the end of the outermost `with` block, or never."""
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
        """Return the connection to the pool of the engine."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()


def inserted_id(connection: Connection, statement: Insert, row: Mapping[str, Any]) -> int:
    """Insert one row and return its primary key."""
    key = connection.execute(statement, row).inserted_primary_key
    assert key is not None, "the database returns the key of a row"
    return int(key[0])
