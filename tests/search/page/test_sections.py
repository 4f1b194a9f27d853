"""What the sections show, against the records of the run and closed forms."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from objectives.hypervolume import hypervolume
from objectives.objectives import MAXIMIZE
from search.page.contents import SECTIONS, contents
from search.page.learning import history
from search.page.render import Rendered, render
from search.page.run_facts import RunFacts, options_of
from search.settings import Settings
from spaces.plan import Plan
from tests.search.page.runs import HOSTILE, begun_run, facts_of
from tests.search.pretend import IMPORTANCE, true_accuracy


def traces(rendered: Rendered, chart: str) -> dict[str, Any]:
    """Traces of a chart by the words of their names before the count."""
    return {trace.get("name", "").partition(" (")[0]: trace for trace in rendered.charts[chart]["data"]}


def test_the_front_of_the_page_is_the_truth_of_its_plans(rendered: Rendered, facts: RunFacts) -> None:
    front = traces(rendered, "front-0")["front"]
    assert len(front["x"]) == len(facts.front) > 3
    for record, x, y, hover in zip(facts.front, front["x"], front["y"], front["hovertext"], strict=True):
        assert y == pytest.approx(true_accuracy(record.plan)) and x == record.on("search")[-1].flops_ratio
        assert str(record.plan) in hover
        command = " ".join(hover.replace("<br>", " ").split())
        assert f"python -m search.export --out RUN --trial {record.trial.number} --to DIR" in command


def test_only_measured_patterns_are_references(rendered: Rendered, facts: RunFacts) -> None:
    members = {record.trial.number for record in facts.front}
    shown = traces(rendered, "front-0").get("hand-made patterns", {"x": []})
    own = [r for r in facts.records if r.trial.origin.startswith("baseline ") and not r.plan.is_dense]
    assert len(shown["x"]) == len([r for r in own if r.on("search") and r.trial.number not in members])


def test_latency_is_an_axis_of_its_own(rendered: Rendered) -> None:
    shown = traces(rendered, "front-1")
    *others, dense = traces(rendered, "front-0")["front"]["x"]
    assert shown["front"]["x"] == pytest.approx([10 * ratio for ratio in others])
    assert (dense, shown["dense"]["x"]) == (1.0, [10.0]), "in ms"
    assert "in ms" in rendered.charts["front-1"]["layout"]["xaxis"]["title"]["text"]


def test_the_map_shows_what_the_plans_run(rendered: Rendered, facts: RunFacts) -> None:
    cells = rendered.charts["plans-1"]["data"][0]
    for record, row, letters in zip(
        [r for r in facts.front if not r.plan.is_dense], cells["z"], cells["text"], strict=True
    ):
        assert "".join(letter or "." for letter in letters) == str(record.plan)
        wanted = [{".": 4, "a": 2, "f": 3, "b": 0, "p": 4}[char] for char in str(record.plan)]
        assert list(row) == wanted


def test_hypervolume_grows_to_that_of_the_report(facts: RunFacts) -> None:
    steps = history(facts.records, facts.limits)
    volumes = [step.hypervolume for step in steps]
    assert volumes == sorted(volumes) and volumes[-1] == pytest.approx(facts.summary["hypervolume_above_floor"])
    half = [step.trial for step in steps[:15]]
    points = [(true_accuracy(r.plan), r.on("search")[-1].flops_ratio) for r in facts.records
              if r.trial.number in half and r.is_complete]  # fmt: skip
    assert volumes[14] == pytest.approx(hypervolume(points, (0.3, 1.0), MAXIMIZE))
    seconds = sum(3 + rung.tuning_steps for record in facts.records for rung in record.on("search"))
    assert steps[-1].seconds == pytest.approx(seconds)


def test_importance_is_that_of_the_dense_trial(rendered: Rendered) -> None:
    shown = traces(rendered, "importance-0")
    assert np.allclose(np.array([shown["attention"]["y"], shown["FFN"]["y"]]).T, IMPORTANCE)


def test_losses_per_kind_are_those_of_the_answers(rendered: Rendered, facts: RunFacts) -> None:
    for choice in facts.choices:
        test, dense = (r.tests[0].scores for r in (choice.record, facts.dense))  # type: ignore[union-attr]
        shown = traces(rendered, "kinds-0")[f"trial {choice.record.trial.number}"]
        labels = rendered.charts["kinds-0"]["layout"]["yaxis"]["ticktext"]
        by_kind = dict(zip(labels, shown["x"], strict=True))
        for place, kind in enumerate(("color", "digit")):
            lost = np.mean(np.subtract(test[place::2], dense[place::2]))
            assert by_kind[kind] == pytest.approx(100 * lost)


def test_answers_are_shown_as_text(rendered: Rendered) -> None:
    page = rendered.page()
    assert HOSTILE not in page and "&lt;/script&gt;&lt;img" in page
    assert page.count("data:image/png;base64,") == page.count('<p class="question">') > 0


def test_the_page_needs_nothing_else_and_is_small(rendered: Rendered) -> None:
    page = rendered.page()
    own = re.sub(r'<script type="application/octet-stream".*?</script>', "", page, flags=re.DOTALL)
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", own)
    assert not re.findall(r"(?:url\(|@import|fetch\(.http)", own)
    assert len(page.encode()) < 5e6


@pytest.mark.parametrize("budget", [1, 3])
def test_sections_without_data_say_so(budget: int, tmp_path: Path) -> None:
    facts = facts_of(begun_run(tmp_path / "run", budget))
    found = contents(facts)
    assert len(found) == len(SECTIONS) and all(section.pieces for section in found)
    words = " ".join(piece.text for section in found for piece in section.pieces if hasattr(piece, "text"))
    assert "too few to compare" in words and "No plan" in words + rendered_text(facts)
    assert {section.name: section for section in found}.keys() == set(render(facts).bodies())


def rendered_text(facts: RunFacts) -> str:
    return " ".join(render(facts).bodies().values())


def test_commands_name_the_run_as_a_shell_reads_it(run: Settings) -> None:
    assert options_of(Path("my runs/a"), None) == "--out 'my runs/a'"
    assert "secret" not in options_of(Path("a"), "postgresql+psycopg://me:secret@host/db")
    assert Plan.dense(3).is_dense and run.out is not None
