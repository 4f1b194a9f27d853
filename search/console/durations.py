"""Writes durations and rates as short text."""


def clock(seconds: float) -> str:
    """Return a duration such as `2m05s` or `3h07m`; text without spaces, for lines that are searched with grep."""
    whole = max(0, int(seconds))
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def rate(count: int, seconds: float, unit: str = "trials") -> str:
    """Return a rate such as `12.3 trials/min`, per hour if less than one per minute; empty if nothing was counted."""
    if not count or seconds <= 0:
        return ""
    per_minute = 60 * count / seconds
    return f"{per_minute:.3g} {unit}/min" if per_minute >= 1 else f"{60 * per_minute:.3g} {unit}/h"
