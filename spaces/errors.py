"""The error of everything that is said wrongly about a plan."""


class PlanError(ValueError):
    """A plan that is malformed or does not fit where it is used. The message is one line for the user."""
