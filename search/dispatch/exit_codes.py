"""Exit codes of `search.run` beside 0 and 2, the code of a mistake in the command."""

GIVEN_UP = 1
"""No trial can succeed."""
TRY_AGAIN = 75
"""Something was away for too long (EX_TEMPFAIL): the same command goes on."""
INTERRUPTED, TERMINATED = 130, 143
"""Ctrl-C; SIGTERM or SIGHUP."""
