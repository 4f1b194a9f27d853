"""Which trial a rule chooses, on rows made by hand."""

import pytest

from search.analysis.select_trials import SelectionError, select
from search.storage.results import TrialRecord
from search.storage.tables import RungResult, Trial
from spaces.plan import Plan, PlanError

BLOCKS = 4


def record(number: int, plan: str, accuracy: float, ratio: float, state: str = "complete") -> TrialRecord:
    parsed = Plan.parse(plan)
    request = {"plan": {"schema": 1, "blocks": [{"op": str(op)} for op in parsed.ops], "pruning": None}}
    trial = Trial(number=number, plan=plan, digest=parsed.digest, state=state, request=request, origin="by hand")
    rungs = [
        RungResult(costs={}, rung=0, split="search", accuracy=0.99, flops_ratio=ratio),
        RungResult(costs={}, rung=2, split="search", accuracy=accuracy, flops_ratio=ratio),
        RungResult(costs={}, rung=3, split="test", accuracy=0.0, flops_ratio=ratio),
    ]
    return TrialRecord(trial, tuple(rungs), None)


RECORDS = [
    record(0, "....", 0.90, 1.0),
    record(1, "...b", 0.88, 0.8),
    record(2, "..bb", 0.86, 0.5),
    record(3, ".bbb", 0.20, 0.3),
    record(4, "...a", 0.70, 0.7),
    record(5, "...f", 0.86, 0.6),
    record(6, "bbbb", 0.95, 0.1, state="stopped"),
    record(7, "a...", 0.95, 0.1, state="failed"),
]


def chosen(rule: str, value: object = None) -> list[int | None]:
    return [each.record and each.record.trial.number for each in select(RECORDS, BLOCKS, rule, value)]


@pytest.mark.parametrize(
    ("rule", "value", "numbers"),
    [
        ("trial", 4, [4]),
        ("plan", "..bb", [2]),
        ("plan", Plan.parse("..bb").to_json(), [2]),
        ("plan", "bb..", [None]),
        ("plan", "bbbb", [None]),
        ("knee", None, [2]),
        ("max_flops", 0.8, [1]),
        ("max_flops", 0.79, [2]),
        ("max_flops", 0.3, [3]),
        ("min_accuracy", 0.87, [1]),
        ("min_accuracy", 0.86, [2]),
        ("min_accuracy", 0.0, [3]),
        ("min_retention", 0.97, [1]),
        ("min_retention", 1.0, [0]),
        ("front", None, [3, 2, 1, 0]),
    ],
)
def test_the_rule_chooses(rule: str, value: object, numbers: list[int | None]) -> None:
    assert chosen(rule, value) == numbers


def test_ties_go_to_the_cheaper_then_the_earlier() -> None:
    twins = [*RECORDS, record(8, "b..b", 0.86, 0.5)]
    assert select(twins, BLOCKS, "max_flops", 0.6)[0].record is RECORDS[2]
    assert select(twins[::-1], BLOCKS, "min_accuracy", 0.86)[0].record is RECORDS[2]


def test_reasons_are_told() -> None:
    for rule, value in (("knee", None), ("max_flops", 0.8), ("min_accuracy", 0.5), ("front", None)):
        assert all(each.why for each in select(RECORDS, BLOCKS, rule, value))
    assert "not tuned" in select(RECORDS, BLOCKS, "plan", "bb..")[0].why


@pytest.mark.parametrize(
    ("rule", "value", "told"),
    [
        ("trial", 99, "got 99: there are 0 to 7"),
        ("trial", 6, "stopped"),
        ("trial", 7, "--plan 'a...'"),
        ("max_flops", 0.2, "the nearest is trial 3 with 0.3"),
        ("min_accuracy", 0.94, "the nearest is trial 0 with 1 of the dense FLOPs and accuracy 0.9"),
        ("min_retention", 1.1, "accuracy at least 0.99"),
        ("plan", "...", "4, got 3"),
    ],
)
def test_what_does_not_fit_is_told_with_the_nearest(rule: str, value: object, told: str) -> None:
    with pytest.raises(SelectionError, match=told.replace(".", r"\.")):
        chosen(rule, value)


def test_a_bad_plan_and_an_empty_run() -> None:
    with pytest.raises(PlanError, match="unknown op 'x'"):
        chosen("plan", "..x.")
    for rule in ("front", "knee", "max_flops"):
        with pytest.raises(SelectionError, match="got none of 2"):
            select(RECORDS[6:], BLOCKS, rule, 0.5)
    with pytest.raises(SelectionError, match="none yet"):
        select([], BLOCKS, "trial", 0)
    with pytest.raises(SelectionError, match="--min-accuracy"):
        select(RECORDS[1:], BLOCKS, "min_retention", 0.5)
