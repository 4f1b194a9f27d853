"""The page of the comparison, with verdicts that agree with the numbers."""

from pathlib import Path

import pytest

from benchmarks.strategies import report as strategy_report
from benchmarks.strategies.comparison import compare
from benchmarks.truth.enumerated import Truth

RUN = {
    "commit": "abc",
    "machine": "m1",
    "cores": 2,
    "processes": 2,
    "versions": {"numpy": "2.0"},
    "seeds": 10,
    "seconds": 1500.0,
}


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "strategies.md"
    file.write_text(f"Kept.\n\n{strategy_report.MARK}\n\nReplaced.\n")
    monkeypatch.setattr(strategy_report, "DOCS", tmp_path)
    return file


@pytest.mark.slow
def test_the_page_is_written_from_the_results(page: Path) -> None:
    truth = Truth.load("rungs4")
    results = {
        name: {"100": compare(truth, name, 100, 2, pictured=True, in_full=name == "guided")}
        for name in ("guided", "random")
    }
    landscapes = {"rungs4": {"truth": dict(truth.origin), "strategies": results}}
    strategy_report.write_report({"run": RUN, "everything": None, "landscapes": landscapes})
    text = page.read_text()
    assert text.startswith("Kept.") and "Replaced." not in text
    assert "| rungs4 | median at 100 at least the best other's |" in text
    saved = text.partition("What rungs save on rungs4")[2].partition("##")[0]
    assert saved.count("| 100 |") == 1, "of ours alone"
    reached, in_full = map(float, saved.partition("| 100 |")[2].rstrip("\n |").split("|")[-2:])
    assert reached < in_full < 0.5, "rungs get there sooner, but so do a part of the full trials"
    assert "took 25.0 minutes with 2 processes on 2 cores (m1), 10 seeds; commit abc; numpy 2.0" in text
    assert "| 25.0 minutes, 2 processes on 2 cores | yes |" in text
    assert "2 seeds)" in text, "fewer than ten"
    assert (page.parent / "strategies-rungs4.png").stat().st_size > 1000


def test_regret_is_of_the_largest_budget_that_was_run() -> None:
    results = {"25": {"regret": [0.3]}, "100": {"regret": [0.1, 0.2]}, "400": {"regret": [0.0]}}
    assert strategy_report.median_regret(results, "100") == "0.1500"
    assert strategy_report.median_regret({"25": results["25"], "400": results["400"]}, "100") == "0.3000 (at 25)"
    assert strategy_report.median_regret({"100": {"share": [1.0]}}, "100") == "", "no test split"
