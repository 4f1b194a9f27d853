"""Report, export, dashboard and controller show the same front of a search with limits."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from objectives.front import FrontLimits
from search.analysis.export_request import request_of
from search.analysis.select_trials import select
from search.analysis.summary import limits_of, summarize
from search.loop.open_run import open_run
from search.settings import Settings
from search.storage.find_run import open_results
from tests.search.loop.test_controller import search, study_of
from tests.search.pretend import NUM_BLOCKS, problem_of, settings_in

LIMITS = {"max_flops": 0.8, "min_accuracy": 0.5}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A search with limits that some of its finished trials break."""
    folder = tmp_path_factory.mktemp("one-front") / "run"
    settings = settings_in(folder, strategy="random", budget=30, keep_fraction=1.0, **LIMITS)
    search(settings)
    return settings


def chosen(settings: Settings, rule: str) -> list[int]:
    """Numbers of the trials that a rule of export chooses."""
    results = open_results(settings.run_folder, None)
    records = results.records()
    found = select(records, NUM_BLOCKS, rule, limits=limits_of(results.run, records))
    results.close()
    return [each.record.trial.number for each in found if each.record]


def test_every_door_shows_the_same_front(settings: Settings) -> None:
    results = open_results(settings.run_folder, None)
    records, reported = results.records(), [trial["number"] for trial in summarize(results)["front"]]
    results.close()
    points = {r.trial.number: (r.on("search")[-1].accuracy, r.on("search")[-1].flops_ratio) for r in records}
    kept = {number: (a, c) for number, (a, c) in points.items() if a >= 0.5 and c <= 0.8}
    assert 0 < len(kept) < len(points), "some trials break the limits, the dense one does"
    wanted = {
        n for n, (a, c) in kept.items() if not any((x > a and y <= c) or (x >= a and y < c) for x, y in kept.values())
    }
    assert set(reported) == wanted
    assert reported == chosen(settings, "front")
    assert set(chosen(settings, "knee")) <= wanted
    assert {trial.number for trial in study_of(settings).best_trials} == wanted
    with open_run(settings, problem_of(settings)) as controller:
        assert [trial.number for trial in controller.history.front()] == reported


def test_the_tables_are_read_once_for_a_whole_front(settings: Settings) -> None:
    results = open_results(settings.run_folder, None)
    with queries() as seen:
        summarize(results)
        records = results.records()
        for each in select(records, NUM_BLOCKS, "front", limits=limits_of(results.run, records)):
            request_of(results, each, settings.run_folder)
    results.close()
    tables = ("artifact", "routing", "rung_result", "trial")
    assert [table for table in tables if f"FROM {table}" in "\n".join(seen)] == [*tables]
    assert len(seen) == len(tables)


def test_a_limit_that_no_trial_keeps_is_told_with_the_nearest(settings: Settings) -> None:
    results = open_results(settings.run_folder, None)
    records = results.records()
    results.close()
    with pytest.raises(ValueError, match=r"an accuracy of at least 1, got none of \d+: the most accurate is trial 0"):
        select(records, NUM_BLOCKS, "knee", limits=FrontLimits(min_accuracy=1.0, max_flops=0.5))
    beyond = select(records, NUM_BLOCKS, "trial", 0, FrontLimits(max_flops=0.5))[0]
    assert "not within the limits (at most 0.5 of the dense FLOPs)" in beyond.why, "what is named is exported, and said"


@contextmanager
def queries() -> Iterator[list[str]]:
    """The statements that reach any database inside the `with`."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(" ".join(statement.split()))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)
