"""Terminal output of the commands: errors as one line, tables as wide as the terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a ValueError inside the `with` block, by convention a user's mistake, into a line on stderr and exit code 2.

    Raises:
        Exit: with code 2, instead of the ValueError.
    """
    try:
        yield
    except ValueError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(2) from None


def console() -> Console:
    """Return the console that commands print to; 160 characters wide if the output is not a terminal."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=160)
