"""One way to refuse an unknown name, and to show a value that is refused."""

import difflib
from collections.abc import Iterable
from reprlib import Repr

MOST_SHOWN = 80
"""Characters of a value that an error shows at most."""
_REPR = Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 4, MOST_SHOWN, MOST_SHOWN


def unknown(kind: str, got: object, known: Iterable[str], hint: str | None = None) -> ValueError:
    """The error to raise for a name that is not known, in one line, with the nearest known names.

    Args:
        kind: what was named, in the singular (`space`, `metric`, ...).
        got: the name as the user gave it.
        known: every name that would have been accepted.
        hint: an extra way out, put at the end.
    """
    names = list(known)
    message = f"unknown {kind} {shown(got)}{nearest(got, names)}: known are {shortened(', '.join(names), 500)}"
    return ValueError(f"{message}; {hint}" if hint else message)


def nearest(got: object, known: Iterable[str]) -> str:
    """A piece of a message, such as ` (did you mean 'keep'?)`; empty where nothing known looks alike."""
    if len(str(got)) > MOST_SHOWN:
        return ""  # comparing long texts takes minutes
    near = difflib.get_close_matches(str(got).lower(), [str(name) for name in known], n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def shown(value: object) -> str:
    """Return the repr of a value in one short line; what is cut out is replaced by `...`.

    Takes no longer for a value that is nested a thousand times or has a million characters.
    """
    return shortened(_REPR.repr(value), MOST_SHOWN)


def shortened(text: str, most: int = MOST_SHOWN) -> str:
    """Return a text as one line of at most `most` characters, its middle replaced by `...` where it is longer."""
    if len(text) > most:
        text = f"{text[: most - most // 3 - 3]}...{text[len(text) - most // 3 :]}"
    return " ".join(text.split("\n"))
