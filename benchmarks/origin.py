"""Origin of a benchmark's numbers, printed above every table."""

import os
import platform

from workers.software import commit, versions


def heading(title: str, **settings: object) -> str:
    """Return a title with machine, versions, commit and settings."""
    packages = ", ".join(f"{name} {number}" for name, number in versions().items())
    chosen = ", ".join(f"{name}={value}" for name, value in settings.items())
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    return f"# {title}\n{chosen}\n{machine}; {packages}; commit {commit()}\n"
