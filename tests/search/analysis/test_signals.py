"""Which signals a search had."""

from types import SimpleNamespace
from typing import Any

from search.analysis.signals import signals_had, signals_line
from spaces.plan import Plan


def record(plan: str, **metrics: Any) -> Any:
    rungs = [SimpleNamespace(metrics=metrics), SimpleNamespace(metrics={})]
    return SimpleNamespace(plan=Plan.parse(plan), on=lambda split: rungs)


def test_a_signal_was_there_where_every_trial_that_should_have_measured_it_did() -> None:
    dense, other = record("...", margins=[1.0], importance=[[1, 2]] * 3), record("..b", margins=[0.5])
    had = signals_had([dense, other], "guided")
    assert had == {"importance": True, "margins": True} and signals_line(had) is None
    had = signals_had([record("...", margins=[1.0]), record("..b", margins=None)], "guided")
    assert had == {"importance": False, "margins": False}
    assert "importance and margins" in (signals_line(had) or "")
    assert signals_had([dense], "random") == {}
