"""Tables from outside the repository: read, refused, and replayed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmarks.strategies.__main__ import main
from benchmarks.strategies.replay import replay, share
from benchmarks.truth.enumerated import Truth
from benchmarks.truth.outside_table import Given
from spaces.plan import Plan


def entries(count: int | None = None) -> dict[str, np.ndarray]:
    """`rungs4` as a file would have it: all of its plans, or the dense one and some others."""
    truth = Truth.load("rungs4")
    picked = np.arange(len(truth.plans))
    if count is not None:
        picked = np.concatenate([[0], 1 + np.random.default_rng(0).permutation(len(picked) - 1)[: count - 1]])
    return {
        "plans": np.array([str(truth.plans[row]) for row in picked]),
        "scores": truth.rungs[picked],
        "costs": truth.flops_ratio[picked],
        "margins": np.array([truth.margins_of(int(row)) for row in picked]),
        "importance": np.array(truth.importance(0)),
    }


def test_a_whole_table_is_searched_as_the_stored_one_is() -> None:
    truth, given = Truth.load("rungs4"), Given("given.npz", entries())
    assert given.complete and given.volume() == pytest.approx(float(truth.volume()), abs=0.02)
    here, there = (replay(table, "guided", 30, 0) for table in (given, truth))
    assert [given.plans[row] for row in here.rows] == [truth.plans[row] for row in there.rows]


def test_of_a_part_only_stored_plans_are_tried_each_once() -> None:
    given = Given("given.npz", entries(60))
    assert not given.complete
    run = replay(given, "evolution", 60, 0)
    assert sorted(run.rows) == list(range(60)), "a proposal stands for the nearest plan that was not tried"
    assert share(given, run.counted()) <= 1.0


def test_blocks_that_never_change_are_not_searched() -> None:
    plans = np.array([f".b{text}" for text in ("....", ".b..", "..b.", "bb..", "...b")])
    given = Given("given.npz", {"plans": plans, "scores": np.full(5, 0.5), "costs": np.linspace(1, 0.5, 5)})
    assert given.landscape.blocks == (2, 3, 4, 5) and given.landscape.searched.num_blocks == 4
    assert given.cost(Plan.parse("b...")) > 0, "a plan that is not stored has a cost too"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"plans": np.array(["...", "..b", "..b"])}, "'plans' .* must differ, got 1 twice"),
        ({"plans": np.array(["..?", "..b", ".b."])}, "must be the text of plans"),
        ({"plans": np.array(["b..", "..b", ".b."])}, "must have one that keeps every searched block"),
        ({"scores": np.array([0.5, np.nan, 0.2])}, "'scores' .* must be finite at the first rung"),
        ({"scores": np.array([0.5, 1.5, 0.2])}, "must be from 0 to 1, got .1.5."),
        ({"costs": np.array([1.0, 0.0, 0.2])}, "'costs' .* must be above 0, got 0.0"),
        ({"costs": np.array([1.0, 0.5])}, "must have a row per plan, 3, got 2"),
        ({"margin": np.zeros((3, 2))}, "'margin' .* must be one of plans, scores, costs"),
    ],
)
def test_a_wrong_entry_is_named(change: dict[str, Any], said: str) -> None:
    good = {"plans": np.array(["...", "..b", ".b."]), "scores": np.full(3, 0.5), "costs": np.array([1.0, 0.5, 0.5])}
    with pytest.raises(ValueError, match=said):
        Given("given.npz", good | change)


@pytest.mark.slow
def test_the_command_prints_shares_as_json_and_stores_nothing(tmp_path: Path) -> None:
    file = tmp_path / "given.npz"
    np.savez(file, **entries(80))
    chosen = ["--table", str(file), "--strategies", "random", "--budgets", "25,50,200", "--seeds", "2"]
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [*chosen, "--processes", "1", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(found["strategies"]["random"]) == {"25", "50"}, "200 is more than there are plans"
    assert all(0 < value <= 1 for value in found["strategies"]["random"]["50"]["share"])
