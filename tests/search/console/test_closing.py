"""The end of a search: which command is suggested, and how lines are broken."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from search.analysis.latency_notes import latency_notes
from search.console.closing import print_choices
from search.console.terminal import say

PROSE = "Trial 7 keeps [almost] all of the accuracy of the dense model at half of its FLOPs"


def printed(is_terminal: bool, *lines: str) -> list[str]:
    out = Console(file=StringIO(), width=40, force_terminal=is_terminal, color_system=None)
    for line in lines:
        say(out, line)
    return out.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_prose_is_broken_between_words_on_a_terminal_and_whole_elsewhere() -> None:
    on_terminal = printed(True, PROSE)
    assert len(on_terminal) == 3 and max(map(len, on_terminal)) <= 40
    assert " ".join(line.strip() for line in on_terminal) == PROSE
    assert printed(False, PROSE) == [PROSE]


@pytest.mark.parametrize(("shares", "suggested"), [((0.99, 0.97, 0.9), "0.97"), ((0.99, 0.9), "0.99")])
def test_the_suggested_command_has_the_usual_rule_where_it_chooses(shares: tuple[float, ...], suggested: str) -> None:
    out = Console(file=StringIO(), width=200)
    print_choices(out, "--out R", [f"{f'--min-retention {share}':<21} trial 1: a" for share in shares])
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert f"python -m search.export --out R --min-retention {suggested} --to DIR" in text
    assert all(f"--min-retention {share}" in text for share in shares)


@pytest.mark.parametrize(
    ("median", "low", "high", "is_said"),
    [(1.0, 0.97, 1.04, False), (0.89, 0.8, 0.9, True), (1.0, 0.72, 1.41, True)],
)
def test_a_machine_that_was_busy_during_the_timing_is_said(
    median: float, low: float, high: float, is_said: bool
) -> None:
    times = {"speedup_median": median, "speedup_low": low, "speedup_high": high}
    dense: dict[str, Any] = {"number": 0, "plan": "....", "predicted": None, "test": {"latency": times}}
    assert any("machine was busy" in line for line in latency_notes([dense])) == is_said
