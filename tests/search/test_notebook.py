"""The Python interface: settings as on the command line, results as DataFrames, one search run for real."""

import sys
from pathlib import Path

import pytest

from search import SearchStopped, load_run, run
from tests.search.loop.test_controller import search
from tests.search.pretend import settings_in


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_trials": 3}, "no such setting: n_trials; did you mean budget?"),
        ({"max_flop": 0.5}, "no such setting: max_flop; did you mean max_flops?"),
        ({"budget": 0}, "budget: input should be greater than or equal to 1, got 0"),
        ({"model": {"nam": "embedded"}}, "unknown setting 'model.nam'"),
        ({"dtype": "float8"}, "model.dtype"),
        ({"model": "embeded"}, "did you mean 'embedded'"),
    ],
)
def test_settings_are_checked_before_anything_runs(settings: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as refused:
        run(out=tmp_path / "run", **settings)
    assert message in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_the_results_of_a_run_are_frames(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", strategy="random", budget=12, final_seeds=1)
    records = search(settings)
    loaded = load_run(settings.run_folder)
    assert list(loaded.trials["trial"]) == list(range(12))
    assert list(loaded.front["trial"]) == [trial["number"] for trial in loaded.summary["front"]]
    assert len(loaded.rungs) == sum(len(record.rungs) for record in records)
    assert loaded.plot_front().get_ylabel() == "accuracy on the search split"
    with pytest.raises(ValueError, match="--trial must be the number of a trial, got 99"):
        loaded.samples(99)


def test_the_function_stays_callable_once_its_module_is_imported() -> None:
    import search as package

    __import__("search.run")
    with pytest.raises(ValueError, match="did you mean budget"):
        package.run(n_trials=1)
    assert sys.modules["search.run"].app


@pytest.mark.slow
def test_a_search_from_python(tmp_path: Path) -> None:
    settings = {"rungs": "0:64", "threads": 1, "final_seeds": 1, "out": tmp_path / "run"}
    found = run(budget=4, model="embedded", **settings)
    assert len(found.trials) == 4
    again = run(budget=4, model={"name": "embedded"}, **settings)
    assert again.trials.equals(found.trials), "nothing is run twice"
    number = int(found.front["trial"].iloc[0])
    assert {"question", "answer", "dense_answer"} <= set(found.samples(number).columns)
    assert issubclass(SearchStopped, RuntimeError)
