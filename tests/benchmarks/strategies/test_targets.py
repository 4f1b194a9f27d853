"""Verdicts on the goals agree with the results."""

from typing import Any

import pytest

from benchmarks.strategies.targets import check_targets, in_time


def result(*share: float, **more: Any) -> dict[str, Any]:
    return {"share": list(share), **more}


def verdicts(mine: dict[str, Any], other: dict[str, Any], exact: bool = True) -> dict[str, tuple[str, bool]]:
    return {goal: (got, yes) for goal, got, yes in check_targets({"guided": mine, "rival": other, "late": {}}, exact)}


@pytest.mark.parametrize(("behind", "reached"), [(0.0, True), (5e-10, True), (1e-5, False)])
def test_a_median_must_be_the_best_rivals(behind: float, reached: bool) -> None:
    judged = verdicts({"25": result(0.9 - behind)}, {"25": result(0.8, 0.9, 0.91)})
    got, yes = judged["median at 25 at least the best other's"]
    assert yes is reached and "rival 0.9000" in got


def test_what_is_asked_for_in_numbers_is_of_the_exact_front() -> None:
    mine = {"50": result(0.94, 0.95, 0.96), "200": result(0.96, 0.99, 0.99)}
    judged = verdicts(mine, {})
    assert judged["median at 50 trials at least 0.95"][1] and judged["median at 200 trials at least 0.99"][1]
    assert not judged["worst seed at 200 trials at least 0.97"][1]
    assert not verdicts(mine, {}, exact=False)


@pytest.mark.parametrize(
    ("trial", "at_70", "reached"), [(70, 0.95, (True, True)), (71, 0.95, (False, True)), (1, 0.94, (True, False))]
)
def test_seventy_trials_are_judged_by_both_searches(trial: int, at_70: float, reached: tuple[bool, bool]) -> None:
    curve = [0.5] * (trial - 1) + [0.95] * (201 - trial)
    mine = {"70": result(at_70), "200": result(0.99, picture={"share": [curve] * 3})}
    judged = verdicts(mine, {"200": result(0.95)})
    goal = "what the best other has at 200 in at most 70"
    assert (judged[f"{goal}, budget 200"][1], judged[f"{goal}, budget 70"][1]) == reached
    assert f"in {trial} trials" in judged[f"{goal}, budget 200"][0]
    assert "median at 70 at least the best other's" not in judged, "nobody else was told 70"


def test_seventy_trials_are_judged_at_the_largest_budget_of_a_small_table() -> None:
    mine = {"70": result(0.9), "100": result(0.99, picture={"share": [[0.9] * 100] * 3})}
    judged = verdicts(mine, {"50": result(0.1), "100": result(0.95)})
    assert "what the best other has at 100 in at most 70, budget 100" in judged


def test_regret_is_compared_with_the_least() -> None:
    others = {"200": result(0.9, regret=[0.03])}
    goal = "regret on test at 200 at most the best other's"
    assert verdicts({"200": result(0.99, regret=[0.02, 0.03, 0.9])}, others)[goal] == ("0.0300, rival 0.0300", True)
    assert not verdicts({"200": result(0.99, regret=[0.031])}, others)[goal][1]
    assert goal not in verdicts({"200": result(0.99)}, {"200": result(0.9)}), "no test split"


@pytest.mark.parametrize(
    ("share", "compute", "reached"),
    [(0.985, 30.0, True), (0.984, 33.0, True), (0.98, 30.0, False), (0.985, 40.0, False)],
)
def test_rungs_must_keep_the_share_and_save_two_thirds(share: float, compute: float, reached: bool) -> None:
    mine = {"25": result(share, eager_share=[0.994], compute=[compute], eager_compute=[99.0], ratio_to_reach=[0.1])}
    (goal,) = (goal for goal in verdicts(mine, {}) if "as many full trials" in goal)
    assert verdicts(mine, {})[goal][1] is reached


@pytest.mark.parametrize(
    ("ratios", "got", "reached"),
    [
        ([0.2, 0.3, None], "0.30 of the compute", True),
        ([0.2, 0.4, None], "0.40 of the compute", False),
        ([0.2, None, None], "not reached by half of the seeds", False),
    ],
)
def test_rungs_must_reach_the_share_with_a_third(ratios: list[float | None], got: str, reached: bool) -> None:
    mine = {"25": result(0.9, eager_share=[0.9], compute=[9.0], eager_compute=[10.0], ratio_to_reach=ratios)}
    (goal,) = (goal for goal in verdicts(mine, {}) if "first reached" in goal)
    assert verdicts(mine, {})[goal] == (got, reached)


def test_a_whole_run_has_half_an_hour() -> None:
    assert not in_time(None)
    ((_, got, yes),) = in_time({"seconds": 1799.0, "processes": 2, "cores": 2})
    assert yes and got == "30.0 minutes, 2 processes on 2 cores"
    assert not in_time({"seconds": 1801.0, "processes": 2, "cores": 2})[0][2]
