"""Terminal output of the commands: errors as one line, tables as wide as the terminal."""

import os
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
    """Return the console that commands print to; 160 characters wide if the output is no terminal, or COLUMNS."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal or "COLUMNS" in os.environ else Console(highlight=False, width=160)


def say(out: Console, line: str, style: str | None = None) -> None:
    """Print a line of prose, broken between words on a terminal and whole elsewhere, where it may be searched for.

    Args:
        out: where to print.
        line: the line; square brackets are printed as they are.
        style: style of rich, such as `yellow`.
    """
    out.print(line, style=style, markup=False, soft_wrap=not out.is_terminal)
