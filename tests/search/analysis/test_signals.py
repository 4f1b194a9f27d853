"""Which signals a search had."""

from types import SimpleNamespace
from typing import Any

from search.analysis.signals import signals_had, signals_line
from spaces.plan import Plan


def record(plan: str, first: int = 0, **metrics: Any) -> Any:
    rungs = [SimpleNamespace(rung=first, metrics=metrics), SimpleNamespace(rung=first + 1, metrics={})]
    return SimpleNamespace(plan=Plan.parse(plan), on=lambda split: rungs)


def test_a_signal_was_there_where_every_trial_that_should_have_measured_it_did() -> None:
    dense, other = record("...", margins=[1.0], importance=[[1, 2]] * 3), record("..b", margins=[0.5])
    had = signals_had([dense, other], "guided")
    assert had == {"importance": True, "margins": True} and signals_line(had) is None
    had = signals_had([record("...", margins=[1.0]), record("..b", margins=None)], "guided")
    assert had == {"importance": False, "margins": False}
    assert "importance and margins" in (signals_line(had) or "")
    assert signals_had([dense], "random") == {}


def test_a_trial_that_goes_on_from_a_later_rung_owes_no_margins() -> None:
    dense, resumed = record("...", margins=[1.0], importance=[[1, 2]] * 3), record("..b", first=1)
    assert signals_had([dense, resumed], "guided") == {"importance": True, "margins": True}
