"""The form of `search.report --json`: docs/report.md names every field, and names none that is not there."""

import re
from pathlib import Path
from typing import Any

import pytest

from search.analysis.summary import SCHEMA_VERSION, summarize
from search.storage.find_run import open_results
from tests.search.loop.test_controller import search
from tests.search.pretend import PretendWorker, settings_in

PAGE = (Path(__file__).parents[3] / "docs" / "report.md").read_text(encoding="utf-8").partition("## JSON")[2]


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    settings = settings_in(tmp_path_factory.mktemp("schema") / "run", strategy="random", budget=20)
    search(settings, PretendWorker(floor=0.3))
    results = open_results(settings.run_folder, None)
    found = summarize(results)
    results.close()
    return found


def documented(table: str) -> set[str]:
    """Fields in the first column of a table."""
    rows = re.findall(r"^\| (`[^|]*)\|", table, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_every_field_is_documented_and_nothing_else(summary: dict[str, Any]) -> None:
    whole, _, trial = PAGE.partition("A trial:")
    assert documented(whole) == set(summary) - {"schema_version"}
    assert documented(trial) == set(summary["front"][0])


def test_the_version_is_that_of_the_page(summary: dict[str, Any]) -> None:
    assert summary["schema_version"] == SCHEMA_VERSION
    assert f"`schema_version` is {SCHEMA_VERSION};" in PAGE


@pytest.mark.parametrize("part", ["rungs", "test"])
def test_the_fields_of_a_part_are_named_in_its_row(summary: dict[str, Any], part: str) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{part}`"))
    trial = next(trial for trial in summary["front"] if trial["test"])
    value = trial[part][0] if part == "rungs" else trial[part]
    assert set(re.findall(r"`(\w+)`", row)) - {part} >= set(value)
