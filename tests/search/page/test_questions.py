"""The section of a plan per question, against the result that `search.route` stores."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from search.page.questions import questions
from search.page.render import render
from search.page.run_facts import RunFacts
from search.page.section import Chart, Command, Section, Table, Text
from search.routing.result import describe
from search.routing.store import RESULT, routed_folder
from tests.search.routing.test_routed import routed


@cache
def result() -> dict[str, Any]:
    """A result whose plans reach 97 % of the dense model."""
    made_up = routed()
    dense = replace(made_up.candidates.dense, search=(0.95,) * 600)
    found = describe(replace(made_up, candidates=replace(made_up.candidates, dense=dense)), "made up")
    return dict(json.loads(json.dumps(found)))


def section(facts: RunFacts, folder: Path, **changed: object) -> Section:
    found = result() | changed
    routed_folder(folder).mkdir(exist_ok=True)
    (routed_folder(folder) / RESULT).write_text(json.dumps(found))
    return questions(RunFacts(facts.results, facts.where, folder))


def test_a_routed_run_shows_both_fronts_and_the_plans_of_the_kinds(facts: RunFacts, tmp_path: Path) -> None:
    shown = section(facts, tmp_path)
    found = result()
    (figure,) = [piece.figure for piece in shown.pieces if isinstance(piece, Chart)]
    for trace, key in zip(figure.data, ("static", "adaptive"), strict=True):
        assert list(trace.x) == [point["test"]["flops_ratio"] for point in found[key]]
        assert list(trace.y) == [point["test"]["accuracy"] for point in found[key]]
    level = next(each for each in found["levels"] if each["share_of_dense"] == 0.97)
    said = next(piece.text for piece in shown.pieces if isinstance(piece, Text) and piece.strong)
    assert f"saves {level['adaptive']['saved']:.0%} of the FLOPs" in said
    levels, kinds = [piece for piece in shown.pieces if isinstance(piece, Table)]
    assert len(levels.rows) == len(found["levels"])
    assert [row[0] for row in kinds.rows] == ["easy", "hard", "medium"]
    assert "a plan per question" in render(RunFacts(facts.results, facts.where, tmp_path)).page()


@pytest.mark.parametrize("changed", [{"router": {"used": False}}, {"schema_version": 0}])
def test_a_router_that_is_not_used_or_of_another_version_draws_nothing(
    facts: RunFacts, tmp_path: Path, changed: dict[str, object]
) -> None:
    shown = section(facts, tmp_path, **changed)
    assert not [piece for piece in shown.pieces if isinstance(piece, Chart | Table)]


def test_a_run_without_a_router_names_the_command(facts: RunFacts, tmp_path: Path) -> None:
    shown = questions(RunFacts(facts.results, facts.where, tmp_path))
    assert [piece.line for piece in shown.pieces if isinstance(piece, Command)] == ["python -m search.route --out RUN"]
