"""How the commands speak: mistakes as one line, tables as wide as the terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a ValueError (a user's mistake, by our convention) into one line and exit code 2."""
    try:
        yield
    except ValueError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(2) from None


def console() -> Console:
    """Return the console that commands print to, wide enough for a table in a file."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=160)
