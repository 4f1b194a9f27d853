"""Cells of the comparison, and the same results with one process and with several."""

from typing import Any

import numpy as np
import pytest

from benchmarks.strategies import __main__ as strategies
from benchmarks.strategies.cells import (
    BUDGETS,
    LANDSCAPES,
    SLOW,
    STRATEGIES,
    Cell,
    budgets_of,
    cells_of,
    run,
    run_all,
)
from benchmarks.strategies.comparison import compare, gather, settle
from benchmarks.truth.enumerated import Truth
from search.strategies import STRATEGIES as KNOWN
from tests.fast import slow


def untimed(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key != "milliseconds"}


def one_by_one(cell: Cell) -> dict[str, Any]:
    return gather([run([cell], seed)[0] for seed in range(cell.seeds)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "budgets",
    [{"random": (25, 30)}, slow({"evolution": (25,), "random": (25, 30), "guided": (72, 70)})],
    ids=["one strategy", "several"],
)
def test_many_processes_find_what_one_finds(budgets: dict[str, tuple[int, ...]]) -> None:
    cells = [Cell("rungs4", name, budget, 2, False) for name, own in budgets.items() for budget in own]
    found = dict(run_all(cells, 2))
    assert {cell: untimed(result) for cell, result in found.items()} == {
        cell: untimed(one_by_one(cell)) for cell in cells
    }


def test_every_strategy_is_run_the_slowest_first() -> None:
    cells = cells_of(LANDSCAPES, STRATEGIES, (*BUDGETS, 70))
    assert {cell.strategy for cell in cells} == set(KNOWN)
    assert len(set(cells)) == len(cells)
    seconds = [cell.seconds for cell in cells]
    assert seconds == sorted(seconds, reverse=True)
    drawn = [(cell.landscape, cell.strategy) for cell in cells if cell.pictured]
    assert len(set(drawn)) == len(drawn) == len(LANDSCAPES) * len(STRATEGIES)


def test_slow_strategies_have_limits_that_can_be_lifted() -> None:
    assert budgets_of("blocks12", "evolution") == dict.fromkeys(BUDGETS, 10)
    assert budgets_of("blocks12", "tpe") == {25: 10, 50: 10, 100: SLOW["tpe"][100], 200: SLOW["tpe"][200]}
    assert budgets_of("blocks12", "tpe", everything=True) == dict.fromkeys(BUDGETS, 10)


def test_budgets_are_of_the_table() -> None:
    assert list(budgets_of("rungs4", "guided")) == [25, 50, 70, 100], "up to half of 256 plans"
    assert list(budgets_of("layers12", "random")) == list(BUDGETS), "larger than any budget"
    (cell,) = cells_of(["blocks14"], ["gp"], [25], seeds=1)
    assert cell == Cell("blocks14", "gp", 25, 1, pictured=False)


def test_curves_end_where_the_search_ends() -> None:
    result = compare(Truth.load("blocks12"), "random", 25, 4, pictured=True)
    curve = result["picture"]["share"][1]
    assert len(curve) == 25
    assert curve[-1] == pytest.approx(np.median(result["share"]), abs=1e-9), "compared with medians"


def test_shares_are_scaled_to_what_a_table_holds_now() -> None:
    curves = {"share": [[0.2, 0.5]] * 3, "timed": [[0.4]] * 3, "attained": [[0.7]] * 3}
    result = {"share": [0.5, 0.75], "volume": 0.6, "picture": curves}
    settle(result, 0.8)
    settle(result, 0.8)
    assert result["share"] == pytest.approx([0.375, 0.5625]) and result["volume"] == 0.8
    assert result["picture"]["share"][0] == pytest.approx([0.15, 0.375])
    assert result["picture"]["attained"] == [[0.7]] * 3


def test_the_command_keeps_what_it_is_not_asked_for(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(strategies, "STORE", tmp_path / "strategies.json")
    monkeypatch.setattr(strategies, "write_report", lambda store: None)
    monkeypatch.setattr(strategies, "run_all", lambda cells, processes: ((cell, one_by_one(cell)) for cell in cells))
    for names, budgets in (("random", "25,50"), ("greedy", "25")):
        strategies.main("rungs4", names, budgets, seeds=1, everything=False, processes=1)
    store = strategies.load_store()
    own = store["landscapes"]["rungs4"]["strategies"]
    assert list(own) == ["greedy", "random"] and list(own["random"]) == ["25", "50"]
    assert store["run"] is None, "a part is no whole run"
    monkeypatch.setattr(strategies, "ALL", {"landscapes": ("rungs4",), "strategies": ("random",), "budgets": ("25",)})
    strategies.main("rungs4", "random", "25", seeds=1, everything=False, processes=1)
    whole = strategies.load_store()["run"]
    assert whole["seconds"] > 0 and whole["seeds"] == 1 and whole["versions"]["numpy"] == np.__version__


@pytest.mark.slow
def test_more_seeds_of_a_peer_stay_and_ours_are_always_new(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(strategies, "STORE", tmp_path / "strategies.json")
    monkeypatch.setattr(strategies, "write_report", lambda store: None)
    monkeypatch.setattr(strategies, "run_all", lambda cells, processes: ((cell, one_by_one(cell)) for cell in cells))
    for seeds, everything in ((3, True), (2, False)):
        strategies.main("rungs4", "random,guided", "25", seeds=seeds, everything=everything, processes=1)
    store = strategies.load_store()
    own = store["landscapes"]["rungs4"]["strategies"]
    assert {name: len(results["25"]["share"]) for name, results in own.items()} == {"random": 3, "guided": 2}
    assert store["everything"]["seeds"] == 3 and store["run"] is None
