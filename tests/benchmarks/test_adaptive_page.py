"""The measured parts of docs/adaptive.md are those that its stored results give."""

import json
from pathlib import Path

import pytest

from benchmarks.adaptive.page import CURVE, DATA, PAGE, written
from tests.test_docs import ROOT
from workers.embedded.chains import CHAINS


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_page_is_what_is_written_from_the_stored_results() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page, "write it again: python -m benchmarks.adaptive.page"


def test_every_number_of_a_search_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for file in sorted(Path(DATA).glob("*.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        for each in found["routers"].values():
            level = each["level"]["adaptive"]
            assert f"{100 * level['saved']:.1f} %" in page and f"{level['accuracy']:.4f}" in page
            assert f"{each['hypervolume']['adaptive_gain']:+.4f}" in page


def test_the_curve_of_the_training_has_every_kind_of_question() -> None:
    rows = [json.loads(line) for line in CURVE.read_text(encoding="utf-8").splitlines()]
    assert set(CHAINS) < set(rows[-1]) and rows[-1]["stage"] == "mapping"
