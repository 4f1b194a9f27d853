"""Exit codes of `search.run`, besides 0 for success and 2 for a mistake in the command."""

GIVEN_UP = 1
"""No trial can succeed."""
TRY_AGAIN = 75
"""Database, disk, device or cluster was unavailable for too long (EX_TEMPFAIL); the same command resumes the search."""
INTERRUPTED, TERMINATED = 130, 143
"""Ended by Ctrl-C; by SIGTERM or SIGHUP."""
