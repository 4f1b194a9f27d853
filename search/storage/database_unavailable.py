"""Distinguishes a database that is temporarily unavailable from one that rejects a statement."""

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from workers.machine_failures import machine_failure


def reason_away(error: BaseException) -> str | None:
    """Return the reason, in one line, if an error means that database, disk or device is unavailable; else None."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OperationalError | InterfaceError) or (
            isinstance(seen, DBAPIError) and seen.connection_invalidated
        ):
            return f"the database can't be used ({' '.join(str(seen.orig).split())[:160]})"
        seen = seen.__cause__
    return machine_failure(error)
