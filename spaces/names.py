"""One way to refuse an unknown name."""

import difflib
from collections.abc import Iterable


def unknown(kind: str, got: object, known: Iterable[str], hint: str | None = None) -> ValueError:
    """The error to raise for a name that is not known, in one line, with the nearest known names.

    Args:
        kind: what was named, in the singular (`space`, `metric`, ...).
        got: the name as the user gave it.
        known: every name that would have been accepted.
        hint: an extra way out, put at the end.
    """
    names = list(known)
    message = f"unknown {kind} {got!r}{nearest(got, names)}: known are {', '.join(names)}"
    return ValueError(f"{message}; {hint}" if hint else message)


def nearest(got: object, known: Iterable[str]) -> str:
    """A piece of a message, such as ` (did you mean 'keep'?)`; empty where nothing known looks alike."""
    near = difflib.get_close_matches(str(got).lower(), [str(name) for name in known], n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
