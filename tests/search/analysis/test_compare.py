"""Two runs side by side, against the best plans picked by hand; runs of other data are refused."""

from pathlib import Path

import numpy as np
import pytest

from search.analysis.compare import ComparisonError, compare
from search.analysis.frames import rungs_frame, trials_frame, write_frame
from search.analysis.summary import limits_of, summarize
from search.console.comparison import comparison_text
from search.console.front_picture import draw_two_fronts
from search.storage.find_run import open_results
from search.storage.results import Results
from tests.search.loop.test_controller import search
from tests.search.pretend import settings_in


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Results]:
    folder = tmp_path_factory.mktemp("compare")
    opened = []
    for name, seed in (("one", 0), ("other", 1)):
        settings = settings_in(folder / name, strategy="random", budget=20, keep_fraction=1.0, seed=seed, final_seeds=1)
        search(settings)
        opened.append(open_results(settings.run_folder, None))
    return opened


@pytest.mark.slow
def test_the_best_plan_within_each_cost_is_compared_on_test(runs: list[Results]) -> None:
    found = compare(*runs)
    assert found.names == ("one", "other") and found.trials == (20, 20)
    summaries = [summarize(run) for run in runs]
    assert found.hypervolumes == tuple(summary["hypervolume_above_floor"] for summary in summaries)
    for level in found.levels:
        for place, summary in enumerate(summaries):
            within = [trial for trial in summary["front"] if trial["flops_ratio"] <= level.flops_ratio]
            best = max(within, key=lambda trial: trial["accuracy"], default=None)
            assert level.trials[place] == (best and best["number"])
            assert level.accuracies[place] == pytest.approx(best and best["test"]["accuracy"], abs=0.01)
        if None not in level.accuracies:
            assert level.difference == pytest.approx(np.subtract(*reversed(level.accuracies)), abs=0.01)
            assert level.interval and level.interval[0] <= level.difference <= level.interval[1]
    assert "second - first" in comparison_text(found).plain


def test_runs_of_other_data_are_refused(runs: list[Results]) -> None:
    first, second = runs
    known = second.run.origin
    second.run.origin = {**known, "fingerprints": {**known["fingerprints"], "data set": "another"}}
    with pytest.raises(
        ComparisonError, match="the same data set to be compared, got 'd' in one and 'another' in other"
    ):
        compare(first, second)
    second.run.origin = known


def test_two_fronts_are_drawn(runs: list[Results], tmp_path: Path) -> None:
    draw_two_fronts([summarize(run) for run in runs], ("one", "other"), tmp_path / "two.png")
    assert (tmp_path / "two.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_all_trials_are_written_as_a_table(runs: list[Results], tmp_path: Path, suffix: str) -> None:
    import pandas as pd

    records = runs[0].records()
    frame = trials_frame(records, limits_of(runs[0].run, records))
    write_frame(frame, tmp_path / f"trials{suffix}")
    read = pd.read_csv(tmp_path / "trials.csv") if suffix == ".csv" else pd.read_parquet(tmp_path / "trials.parquet")
    assert list(read["trial"]) == list(range(20))
    front = [trial["number"] for trial in summarize(runs[0])["front"]]
    assert sorted(read["trial"][read["on_front"]]) == sorted(front)
    tested = read.set_index("trial")["test_accuracy"].dropna()
    assert {number: float(tested[number]) for number in front} == {
        trial["number"]: pytest.approx(trial["test"]["accuracy"]) for trial in summarize(runs[0])["front"]
    }


def test_every_rung_is_a_row(runs: list[Results]) -> None:
    frame = rungs_frame(runs[0].records())
    assert len(frame) == sum(len(record.rungs) for record in runs[0].records())
    assert set(frame["split"]) == {"search", "test"}


def test_a_table_that_cannot_be_written_is_refused(runs: list[Results], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must go to a file that can be written"):
        write_frame(rungs_frame(runs[0].records()), tmp_path / "no" / "where.csv")
