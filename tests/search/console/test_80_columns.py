"""What the commands print for people is neither cut off nor wider than 80 columns, with plans of up to 80 blocks."""

from typing import Any

import pytest
from rich.console import Console

from search.analysis.compare import AtLevel, Comparison
from search.analysis.explain import Explanation, KindLoss, PartCost
from search.analysis.samples import AnsweredQuestion
from search.console.comparison import comparison_text
from search.console.explanation import explanation_text
from search.console.front_table import front_table
from search.console.live import View, draw
from search.console.status_lines import status_lines
from tests.search.console.test_front_table import trial

PLANS = ("." * 12, "." * 80, "ab" * 40, ".avf" * 20, "().b" * 20)


def printed(content: Any, width: int = 80) -> list[str]:
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(content)
    return captured.get().splitlines()


def state_of(plan: str) -> dict[str, Any]:
    best = {"number": 4321, "plan": plan, "accuracy": 0.987, "flops_ratio": 0.612, "retention": 0.991}
    return {
        "run": "demo", "phase": "searching", "budget": 5000, "ended": 4400, "tests": {"ended": 3, "total": 120},
        "counts": {"complete": 1200, "stopped": 3100, "failed": 100, "running": 4},
        "failures": [{"reason": "out of memory", "count": 100, "last_trial": 4390}],
        "trials_per_minute": 12.3, "eta_seconds": 4000.0,
        "workers": {"number": 4, "busy": 4, "devices": ["NVIDIA H200"]},
        "running": [{"number": 4401, "attempt": 2, "plan": plan, "seconds": 61.0}],
        "hypervolume": 0.7654, "floor": 0.191, "cost": "FLOPs", "front": [best], "best": [best], "events": [],
    }  # fmt: skip


@pytest.mark.parametrize("plan", PLANS)
def test_the_front_of_a_report_fits(plan: str) -> None:
    summary = {"run": "demo", "front": [trial(7, plan, 0.5, 0.81)], "dense": None, "floor": None}
    lines = printed(front_table(summary, 80))
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)


def test_the_legend_has_the_columns_that_are_shown_and_names_the_others() -> None:
    summary = {"run": "demo", "front": [trial(7, "." * 12, 0.5, 0.81)], "dense": None, "floor": None}
    narrow, wide = ("\n".join(printed(front_table(summary, width), width)) for width in (80, 200))
    assert "on wider terminals and in --json: on search, ± seeds" in " ".join(narrow.split())
    assert "as ...:" not in narrow and "prefill:" in narrow and "wider terminals" not in wide


@pytest.mark.parametrize("plan", PLANS)
def test_status_prints_whole_plans_and_numbers(plan: str) -> None:
    """Lines may be longer than a terminal, which wraps them; nothing is left out of them."""
    lines = list(status_lines(state_of(plan)))
    assert sum(line.endswith(plan) for line in lines) == 2
    assert not any("…" in line for line in lines)
    others = [line for line in lines if plan not in line]
    assert max(map(len, others)) <= 80
    for number in ("4400 of 5000", "100 failed", "3 of 120 tests", "12.3 trials/min", "1h06m left", "99.1%", "61.2%"):
        assert any(number in line for line in lines)


@pytest.mark.parametrize("plan", PLANS)
def test_the_live_view_fits(plan: str) -> None:
    view = View(40, {"complete": 3}, trials=((0.5, 0.8),), front=((0.5, 0.8),), now=f"now: trial 28, {plan}")
    assert max(map(len, printed(draw(view, 80, 40, 1.0)))) <= 80


@pytest.mark.parametrize("plan", PLANS)
def test_an_explanation_keeps_plan_numbers_and_questions(plan: str) -> None:
    """Sentences and questions wrap at the edge of the terminal; no word and no number is left out."""
    question = AnsweredQuestion(
        trial=3, plan=plan, split="test", seed=0, question_id="test-0", image="i", kind="color",
        question="which color is the thing in the corner?", accepted=("yellow",), answer="red", score=0.0,
        dense_answer="yellow", dense_score=1.0,
    )  # fmt: skip
    costs = [PartCost(part, 12.3e12, 4.5e12) for part in ("vision tower", "projector", "prefill", "decode", "LM head")]
    kinds = [KindLoss("which color is the thing", 123_456, 0.991, 0.887, -0.104, (-0.123, -0.098))]
    found = Explanation(3, plan, ["skips 20 blocks", "keeps the others"], costs, "test", kinds, [question])
    text = " ".join("\n".join(printed(explanation_text(found))).split())
    assert plan in text.replace(" ", "") and "…" not in text
    for part in ("12.3 TFLOPs", "63.4%", "123,456", "-0.104 [-0.123, -0.098]", "yellow", "red"):
        assert part in text


def test_a_comparison_fits() -> None:
    level = AtLevel(0.2, (4321, 1234), (0.987, 0.986), True, -0.001, (-0.012, 0.011))
    text = printed(comparison_text(Comparison(("guided-s0", "evolution-s0"), (5000, 5000), (0.7, 0.8), (level,) * 8)))
    assert max(map(len, text)) <= 80 and not any("…" in line for line in text)
    assert sum("-0.001 [-0.012, +0.011]" in line for line in text) == 8
