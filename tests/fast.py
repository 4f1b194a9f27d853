"""Chooses the draws of hypothesis and the cases of large tables that the fast run has."""

import math
import os
from collections.abc import Iterable
from typing import Any

import pytest

FAST = os.environ.get("SKIPSEARCH_TESTS") == "fast"
SHARE = 0.2
"""The share of a test's draws in the fast run. The slow one runs the same test again, with all of them."""


def draws(number: int) -> int:
    """Return how many examples hypothesis draws in this run."""
    return math.ceil(SHARE * number) if FAST else number


def but_slow(cases: Iterable[Any], fast: Iterable[Any]) -> list[Any]:
    """Return the cases as parameters of a test, those not in `fast` marked slow.

    Raises ValueError if one in `fast` is no case, else a renamed case would leave the fast run unnoticed.
    """
    cases, fast = list(cases), list(fast)
    if unknown := [case for case in fast if case not in cases]:
        raise ValueError(f"what stays fast must be among the cases, got {unknown}")
    return [case if case in fast else slow(case) for case in cases]


def slow(case: Any) -> Any:
    """Return one case as a parameter marked slow."""
    return pytest.param(*case if isinstance(case, tuple) else (case,), marks=pytest.mark.slow)
