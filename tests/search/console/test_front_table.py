"""The table of the front: every number with its unit, nothing cut off for long plans or narrow terminals."""

from typing import Any

import pytest
from rich.console import Console

from search.console.front_table import front_table
from spaces.plan import Plan
from spaces.plan_text import runs_of_text

FLOOR = {"accuracy": 0.25, "by": "always answering 'yes'"}


def trial(number: int, plan: str, ratio: float, accuracy: float, **others: Any) -> dict[str, Any]:
    test = {
        "accuracy": accuracy,
        "interval": (accuracy - 0.02, accuracy + 0.02),
        "seed_spread": 0.004,
        "difference_to_dense": accuracy - 0.9,
        "difference_interval": (accuracy - 0.92, accuracy - 0.88),
        "latency": {"prefill_median": 0.0123, "decode_median": 0.00456},
    }
    costs = {
        "flops": ratio * 12.3456e9,
        "flops_ratio": ratio,
        "cost_ratio": ratio,
        "predicted": None,
        "parameter_bytes": 2_345_678,
    }
    told = {"accuracy": accuracy, "retention": accuracy / 0.9, "test": test, "origin": "mutation of 3"}
    return {"number": number, "plan": plan, **costs, **told, **others}


def shown(front: list[dict[str, Any]], width: int, dense: dict[str, Any] | None = None, sort: str | None = None) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(front_table({"run": "demo", "front": front, "dense": dense, "floor": FLOOR}, width, sort))
    return captured.get()


def test_numbers_have_their_units_and_the_dense_model_and_the_floor_are_rows() -> None:
    table = shown([trial(7, "..fb", 0.5, 0.81)], 200, trial(0, "....", 1.0, 0.9)).splitlines()
    heading, row, dense, floor = table[2:6]
    for number in ("0.810 [0.790, 0.830]", "±0.004", "90.0%", "-0.090 [-0.110, -0.070]", "50.0%", "6.17 GFLOPs",
                   "12.3 ms", "4.56 ms", "2.35 MB", "mutation of 3"):  # fmt: skip
        assert number in row
    assert dense.startswith("dense 0  ....") and "100.0%" in dense
    assert floor.split() == ["floor", "0.250"]
    ends = {name: heading.index(name) + len(name) for name in ("accuracy [95 %]", "FLOPs", "weights")}
    assert all(row[end : end + 2].strip() == "" and row[end - 1] != " " for end in ends.values())


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("text", ["." * 80, ".b" * 40, "4.2fb" * 11, "afbp" * 20, "..bv{w50}...."])
def test_nothing_is_cut_off_and_plans_of_up_to_80_blocks_stay_on_one_line(text: str, width: int) -> None:
    plan = Plan.parse(text)
    table = shown([trial(7, str(plan), 0.5, 0.81)], width, trial(0, "." * len(plan), 1.0, 0.9))
    assert "…" not in table
    lines = table.splitlines()
    assert max(map(len, lines)) <= width
    drawn = [str(plan), runs_of_text(str(plan))]
    assert any(line.strip() in drawn or any(f"  {each}  " in line for each in drawn) for line in lines)
    for number in ("0.810 [0.790, 0.830]", "90.0%", "50.0%", "12.3 ms", "2.35 MB"):
        assert number in table


def test_rows_are_sorted_best_first_and_an_unknown_order_gets_a_suggestion() -> None:
    front = [trial(7, "..fb", 0.5, 0.6), trial(9, "...b", 0.7, 0.8)]
    order = [line.split()[0] for line in shown(front, 100, sort="accuracy").splitlines()[3:5]]
    assert order == ["9", "7"]
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):
        shown(front, 100, sort="acuracy")


def test_a_trial_that_is_not_tested_shows_its_accuracy_on_the_search_split() -> None:
    assert "0.810 (search)" in shown([trial(7, "..fb", 0.5, 0.81, test=None)], 80)


def test_the_legend_names_what_occurs_alone() -> None:
    table = shown([trial(7, "..fb", 0.5, 0.81), trial(8, "..bb", 0.4, 0.7)], 200)
    assert "f FFN skipped" in table and "b block skipped" in table
    assert "attention skipped" not in table and "pruned" not in table
    assert "All 2 plans run blocks 0-1" in table


def test_routes_that_cost_otherwise_have_a_column_and_the_others_none() -> None:
    def routes(remote: float, stock: float | None) -> dict[str, float | None]:
        return {"remote-code": remote, "transformers": stock, "nemotron-nas": None}

    rows = [trial(7, "..fb", 0.5, 0.81, routes=routes(0.5, 0.68)), trial(8, "..bb", 0.4, 0.7, routes=routes(0.4, 0.4))]
    heading, *lines = (line for line in shown(rows, 200).splitlines()[2:5])
    end = heading.index("as transformers") + len("as transformers")
    assert [line[:end].split()[-1] for line in lines] == ["40.0%", "68.0%"]
    assert "remote-code" not in heading and "nemotron" not in heading
    assert "as transformers" not in shown([rows[1]], 200).splitlines()[2]
    assert max(map(len, shown(rows, 80).splitlines())) <= 80
