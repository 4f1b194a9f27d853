"""The error for every malformed description of a plan."""


class PlanError(ValueError):
    """A plan is malformed or does not fit where it is used. The message is one line for the user."""
