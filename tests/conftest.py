"""Settings of all tests."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.fast import draws

# No deadline, because machines are busy; the same examples in every run, so that a failure can be repeated.
settings.register_profile("shared", deadline=None, derandomize=True)
settings.register_profile("fast", settings.get_profile("shared"), max_examples=draws(100))
settings.load_profile("fast")

LONGEST_FIRST = (
    "workers/pretrained",
    "search/test_",
    "search/dispatch",
    "search/storage",
    "test_",
    "workers/export",
    "benchmarks",
    "search",
)
"""Beginnings of paths whose files take minutes; they come first, so that two processes end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by file, those of `LONGEST_FIRST` before all others, each file in its own order."""
    root = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(root).as_posix() if item.path.is_relative_to(root) else ""
        return next((n for n, start in enumerate(LONGEST_FIRST) if path.startswith(start)), len(LONGEST_FIRST))

    items.sort(key=place)
