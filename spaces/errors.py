"""Defines the error for malformed descriptions of plans."""


class PlanError(ValueError):
    """A plan is malformed or does not fit where it is used. The message is one line for the user."""
