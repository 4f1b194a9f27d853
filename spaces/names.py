"""Builds the error for an unknown name, and short forms of values for error messages."""

import difflib
from collections.abc import Iterable
from reprlib import Repr

MAX_SHOWN = 80
"""Maximum number of characters of a value in an error message."""
_REPR = Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 4, MAX_SHOWN, MAX_SHOWN


def unknown(kind: str, got: object, known: Iterable[str], hint: str | None = None) -> ValueError:
    """Return the error to raise for an unknown name, in one line, with the nearest known names.

    Args:
        kind: what the name stands for, in the singular (`space`, `metric`, ...).
        got: the name as the user gave it.
        known: all accepted names.
        hint: what the user can do, appended to the message.
    """
    names = list(known)
    message = f"unknown {kind} {shown(got)}{nearest(got, names)}: known are {shortened(', '.join(names), 500)}"
    return ValueError(f"{message}; {hint}" if hint else message)


def nearest(got: object, known: Iterable[str]) -> str:
    """Return a suggestion such as ` (did you mean 'keep'?)`, or an empty string if no known name is similar."""
    if len(str(got)) > MAX_SHOWN:
        return ""  # comparing long texts takes minutes
    near = difflib.get_close_matches(str(got).lower(), [str(name) for name in known], n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def shown(value: object) -> str:
    """Return the repr of a value in one short line, in which omitted parts are `...`.

    The time does not depend on the nesting or the length of the value.
    """
    return shortened(_REPR.repr(value), MAX_SHOWN)


def shortened(text: str, most: int = MAX_SHOWN) -> str:
    """Return a text as one line of at most `most` characters; the middle of a longer text is replaced by `...`."""
    if len(text) > most:
        text = f"{text[: most - most // 3 - 3]}...{text[len(text) - most // 3 :]}"
    return " ".join(text.split("\n"))
