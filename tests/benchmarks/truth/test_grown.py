"""A growing table has the results of the worker, and is replayed without a model once it is stored."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.strategies.replay import replay, share
from benchmarks.truth import enumerated as truth
from benchmarks.truth import grown
from benchmarks.truth.examiner import Examiner
from benchmarks.truth.grown import Grown
from benchmarks.truth.landscapes import LANDSCAPES
from benchmarks.truth.prefix_tree import Grades
from objectives.flops import costs
from objectives.hypervolume import hypervolume
from objectives.objectives import MAXIMIZE, REFERENCE
from spaces.plan import Plan
from workers.apply_plan import apply_plan
from workers.evaluation.evaluate import evaluate
from workers.evaluation.margins import answer_margins
from workers.requests import TrialRequest

NAME = "layers12"


class NoExaminer(Examiner):
    """Fails the test if a plan is measured."""

    @property
    def fingerprints(self) -> dict[str, str]:
        raise AssertionError("measured what is known")


class FixedExaminer(Examiner):
    """Gives every plan the same number of right answers per kind, and the same margins."""

    def __init__(self, right: list[int], margins: np.ndarray) -> None:
        super().__init__(LANDSCAPES[NAME])
        left, found = list(right), []
        for kind in Grown.load(NAME, Path("nowhere")).asked:
            found.append(left[kind] > 0)
            left[kind] -= 1
        self.grades = Grades(np.array(found), margins)

    @property
    def fingerprints(self) -> dict[str, str]:
        return {}

    def grade(self, plan: Plan) -> Grades:
        return self.grades

    def wins(self) -> np.ndarray:
        return np.zeros((1, 8, 12, 2))

    def origin(self) -> dict[str, dict[str, str]]:
        return {"fingerprints": {}}


def nobody() -> NoExaminer:
    return NoExaminer(LANDSCAPES[NAME])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a table that has the plans of a short search, some of them stored."""
    folder = tmp_path_factory.mktemp("grown")
    table = Grown.load(NAME, folder)
    table.row(Plan.dense(12))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(truth, "GATE_SEEDS", 1)
        table.save()
    replay(table, "evolution", 15, 0)
    return folder


@pytest.mark.slow
def test_it_holds_what_workers_measure(folder: Path) -> None:
    table = Grown.load(NAME, folder)
    session = table.examiner.session
    workload = session.workload(TrialRequest(plan=json.loads(Plan.dense(12).to_json())))
    for plan in (Plan.dense(12), *list(table.index)[3:6], Plan.parse("..fab.p..b.a")):
        row = table.row(plan)
        with apply_plan(session.loaded.model, plan):
            result = evaluate(session.loaded, session.split("search"), "exact_match", 256)
            with_budget = answer_margins(session.loaded, session.split("search"), "exact_match", 256)
        off = np.abs(
            np.subtract(table.margins_of(row), with_budget)
        )  # float32 rounds differently at the edge of a step
        assert off.max() <= 0.5 and (off > 0).mean() < 0.01, str(plan)
        assert table.climb(row) == (pytest.approx(result.accuracy),), str(plan)
        shares = table.right["search"][row] / table.questions["search"]
        assert table.flops_ratio[row] == table.cost(plan) == costs(session.shape, plan, workload).flops_ratio
        assert dict(zip(table.kinds, shares, strict=True)) == pytest.approx(result.accuracy_by_kind)


@pytest.mark.slow
def test_a_stored_table_is_replayed_without_a_model(folder: Path) -> None:
    table = Grown.load(NAME, folder, nobody())
    run = replay(table, "evolution", 15, 0)
    with pytest.raises(AssertionError, match="measured what is known"):
        table.row(Plan.parse("pppppppppppp"))
    table.save()
    assert not (folder / f"{NAME}.jsonl").exists()
    again = Grown.load(NAME, folder, nobody())
    assert replay(again, "evolution", 15, 0).rows == run.rows
    assert (again.points("search") == table.points("search")).all()
    assert again.origin["fingerprints"] and again.origin == table.origin


def test_what_another_process_measured_is_kept(tmp_path: Path) -> None:
    examiner = FixedExaminer([3] * 8, np.arange(256) % 16 - 8)
    first, second = (Grown.load(NAME, tmp_path, examiner) for _ in range(2))
    first.row(Plan.parse("b" * 12))
    second.row(Plan.parse("a" * 12))
    second.row(Plan.parse("b" * 12))
    first.save()
    stored = Grown.load(NAME, tmp_path, nobody())
    assert (stored.right["search"] == 3).all()
    assert {str(plan) for plan in stored.index} == {"a" * 12, "b" * 12}
    assert (stored.margins == np.arange(256) % 16 - 8).all()


def test_margins_are_measured_for_strategies_that_read_them(tmp_path: Path) -> None:
    """Margins are missing in the stored table; they are measured once for all processes."""
    margins = np.arange(256) % 16 - 8
    Grown.load(NAME, tmp_path, FixedExaminer([3] * 8, np.full(256, grown.UNKNOWN))).row(Plan.parse("b" * 12))
    first = Grown.load(NAME, tmp_path, FixedExaminer([3] * 8, margins))
    assert first.margins_of(0) == tuple((margins + 0.5) / 2)
    assert Grown.load(NAME, tmp_path, nobody()).margins_of(0) == first.margins_of(0)


@pytest.mark.slow
def test_a_strategy_that_does_not_read_margins_has_none_measured(folder: Path) -> None:
    table = Grown.load(NAME, folder, nobody())
    table.margins[:] = grown.UNKNOWN
    replay(table, "evolution", 15, 0)
    with pytest.raises(AssertionError, match="measured what is known"):
        replay(table, "guided", 15, 0)


@pytest.mark.slow
def test_a_table_of_another_model_is_not_added_to(folder: Path) -> None:
    table = Grown.load(NAME, folder)
    table.origin = {"fingerprints": {"model": "another"}}
    with pytest.raises(ValueError, match="delete it"):
        table.row(Plan.parse("p" * 12))


@pytest.mark.slow
def test_shares_are_of_all_that_was_asked_for(folder: Path) -> None:
    best = Grown.load(NAME, folder).right["search"].max(0)
    table = Grown.load(NAME, folder, FixedExaminer(best.tolist(), np.zeros(256, np.int8)))
    table.origin = {}
    volume = table.volume()
    assert volume == pytest.approx(hypervolume(table.points("search"), REFERENCE, MAXIMIZE))
    rows = list(range(5))
    assert share(table, rows) == pytest.approx(hypervolume(table.points("search", rows), REFERENCE, MAXIMIZE) / volume)
    cheap_and_right = table.row(Plan.parse("b" * 12))
    assert table.volume() > volume and share(table, [cheap_and_right]) > 0
