"""How a command tells a user's mistake: one line on stderr, exit code 2, no traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns a ValueError (a user's mistake, by our convention) into one line and exit code 2."""
    try:
        yield
    except ValueError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(2) from None
