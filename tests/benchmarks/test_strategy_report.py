"""The comparison's results become a page whose verdicts follow from the numbers."""

from pathlib import Path

import pytest

from benchmarks import strategy_report
from benchmarks.strategies import compare
from benchmarks.truth import Truth


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "strategies.md"
    file.write_text(f"Kept.\n\n{strategy_report.MARK}\n\nReplaced.\n")
    monkeypatch.setattr(strategy_report, "DOCS", tmp_path)
    return file


def test_the_page_is_written_from_the_results(page: Path) -> None:
    truth = Truth.load("rungs4")
    results = {name: {"100": compare(truth, name, 100, 2)} for name in ("guided", "random")}
    strategy_report.write_report({"rungs4": {"truth": dict(truth.origin), "strategies": results}})
    text = page.read_text()
    assert text.startswith("Kept.") and "Replaced." not in text
    assert "| rungs4 | median at 100 at least the best other's |" in text
    assert "| random | 100 |" in text, "what rungs save, a row a strategy"
    assert (page.parent / "strategies-rungs4.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("share", "compute", "reached"), [(0.985, 30.0, True), (0.98, 30.0, False), (0.985, 40.0, False)]
)
def test_rungs_must_keep_the_share_and_save_two_thirds(share: float, compute: float, reached: bool) -> None:
    result = {"share": [share], "eager_share": [0.994], "compute": [compute], "eager_compute": [100.0]}
    assert strategy_report._saving("25", result)[2] is reached
