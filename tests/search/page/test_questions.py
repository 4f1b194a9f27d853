"""The section of a plan per question, against the result that `search.route` stores."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from search.dashboard_view.shown_run import FollowedRun
from search.page.questions import questions
from search.page.render import render
from search.page.run_facts import RunFacts
from search.page.section import Chart, Command, Examples, Table, Text
from search.report import app as report
from search.routing.decisions import decisions
from search.routing.result import describe
from search.storage.database_url import file_of
from search.storage.find_run import open_results
from search.storage.results import Results
from tests.command import call
from tests.search.routing.test_routed import routed


@cache
def result() -> dict[str, Any]:
    """A result whose plans reach 97 % of the dense model."""
    made_up = routed()
    dense = replace(made_up.candidates.dense, search=(0.95,) * 600)
    found = describe(replace(made_up, candidates=replace(made_up.candidates, dense=dense)), "made up")
    return dict(json.loads(json.dumps(found)))


@pytest.fixture
def copy(facts: RunFacts, tmp_path: Path) -> Iterator[Results]:
    """A copy of the run, in which a router may be stored."""
    folder = tmp_path / "copy"
    shutil.copytree(str(file_of(facts.results.engine.url).parent), folder)
    results = open_results(folder, None)
    yield results
    results.close()


def stored(results: Results, decisions: dict[str, list[int]] | None = None, **changed: object) -> RunFacts:
    results.keep_routing({}, {})  # is replaced
    results.keep_routing(result() | changed, decisions or {})
    return RunFacts(results, "--out RUN")


def test_a_routed_run_shows_both_fronts_and_the_plans_of_the_kinds(copy: Results) -> None:
    run, found = stored(copy), result()
    shown = questions(run)
    figure, bars = [piece.figure for piece in shown.pieces if isinstance(piece, Chart)]
    for trace, key in zip(figure.data, ("static", "adaptive"), strict=True):
        assert list(trace.x) == [point["test"]["flops_ratio"] for point in found[key]]
        assert list(trace.y) == [point["test"]["accuracy"] for point in found[key]]
    level = next(each for each in found["levels"] if each["share_of_dense"] == 0.97)
    said = next(piece.text for piece in shown.pieces if isinstance(piece, Text) and piece.strong)
    assert f"saves {level['adaptive']['saved']:.0%} of the FLOPs" in said
    levels, kinds = [piece for piece in shown.pieces if isinstance(piece, Table)]
    assert len(levels.rows) == len(found["levels"])
    assert [row[0] for row in kinds.rows] == ["easy", "hard", "medium"]
    plans = level["adaptive"]["plans"]
    for place, kind in enumerate(bars.data[0].y):
        drawn = {bar.name.split(",")[0].removeprefix("trial "): bar.x[place] for bar in bars.data}
        assert {trial: share for trial, share in drawn.items() if share} == pytest.approx(plans[kind])
    assert "a plan per question" in render(run).page()


def test_examples_are_questions_that_the_router_sends_to_its_cheapest_and_its_most_expensive_plan(
    copy: Results, facts: RunFacts
) -> None:
    cheap, expensive = facts.front[0], facts.front[-1]
    questions_on_test = len(facts.answered(cheap))
    sent = [cheap.trial.number if index % 3 else expensive.trial.number for index in range(questions_on_test)]
    shown = questions(stored(copy, {"test": sent, "search": sent}))
    of_cheap, of_expensive = [piece.examples for piece in shown.pieces if isinstance(piece, Examples)]
    for examples, record, third in ((of_cheap, cheap, False), (of_expensive, expensive, True)):
        assert len(examples) == 4
        for each in examples:
            number = int(each.question.removeprefix("Is ").removesuffix("?"))
            assert (number % 3 == 0) is third
            assert each.plan == facts.answered(record)[number].answer
            assert (each.plan_right, each.dense_right) == (each.plan == "yes", each.dense == "yes"), "both may be right"
    texts = [piece.text for piece in shown.pieces if isinstance(piece, Text)]
    assert any(f"trial {cheap.trial.number} with" in text and "cheapest" in text for text in texts)


def test_decisions_are_those_of_the_comparison_at_97_percent() -> None:
    made_up = routed()
    dense = replace(made_up.candidates.dense, search=(0.95,) * 600)
    made_up = replace(made_up, candidates=replace(made_up.candidates, dense=dense))
    level = next(each for each in describe(made_up, "made up")["levels"] if each["share_of_dense"] == 0.97)
    decided, kinds = decisions(made_up)["test"], made_up.splits["test"].questions.kinds
    for kind, shares in level["adaptive"]["plans"].items():
        of_kind = [trial for trial, own in zip(decided, kinds, strict=True) if own == kind]
        assert {trial: of_kind.count(trial) / len(of_kind) for trial in set(of_kind)} == pytest.approx(shares)


def test_report_and_dashboard_show_a_router_once_it_is_stored(copy: Results, tmp_path: Path) -> None:
    followed = FollowedRun(tmp_path / "copy", None)
    before = followed.now()
    assert "plan-per-question" not in before.plots
    assert "a plan per question" not in call(report, "--out", tmp_path / "copy").stdout
    stored(copy)
    after = followed.now()
    assert {"plan-per-question", "plans-per-kind"} <= set(after.plots) and after.revision > before.revision
    printed = call(report, "--out", tmp_path / "copy").stdout
    adaptive = next(each for each in result()["levels"] if each["share_of_dense"] == 0.97)["adaptive"]
    assert f"{adaptive['saved']:.1%}" in printed and "at 97% of dense" in printed
    assert json.loads(call(report, "--out", tmp_path / "copy", "--json").stdout)["routing"] == result()


def test_a_router_that_is_older_than_a_trial_says_so(copy: Results) -> None:
    run = stored(copy)
    said = "The search went on since the router was trained"
    assert not any(said in piece.text for piece in questions(run).pieces if isinstance(piece, Text))
    copy.end_trial(0, "complete", None, None)
    assert any(said in piece.text for piece in questions(run).pieces if isinstance(piece, Text))


@pytest.mark.parametrize("changed", [{"router": {"used": False}}, {"schema_version": 0}])
def test_a_router_that_is_not_used_or_of_another_version_draws_nothing(
    copy: Results, changed: dict[str, object]
) -> None:
    shown = questions(stored(copy, None, **changed))
    assert not [piece for piece in shown.pieces if isinstance(piece, Chart | Table)]


def test_a_run_without_a_router_names_the_command(facts: RunFacts) -> None:
    shown = questions(facts)
    assert [piece.line for piece in shown.pieces if isinstance(piece, Command)] == ["python -m search.route --out RUN"]
