"""The floor in a search: measured once, kept on resume; plans at or under it do not count."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from search.analysis.select_trials import select
from search.analysis.summary import limits_of, summarize
from search.console.closing import hypervolumes
from search.console.front_table import front_table
from search.console.progress import Progress
from search.dispatch.in_process import run_here
from search.loop.controller import BlindModelError
from search.loop.open_run import open_run
from search.settings import Settings
from search.storage.find_run import open_results
from tests.search.loop.test_controller import search
from tests.search.pretend import NUM_BLOCKS, PretendWorker, problem_of, settings_in
from workers.reports import QuestionRecord, RungReport
from workers.requests import Rung, TrialRequest

FLOOR = 0.6


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("floor") / "run"
    settings = settings_in(folder, strategy="random", budget=30, keep_fraction=1.0)
    search(settings, PretendWorker(floor=FLOOR))
    return settings


def test_nothing_at_or_under_the_floor_is_on_the_front_tested_or_chosen(settings: Settings) -> None:
    results = open_results(settings.run_folder, None)
    records, summary = results.records(), summarize(results)
    limits = limits_of(results.run, records)
    results.close()
    last = {record.trial.number: record.on("search")[-1].accuracy for record in records}
    under = {number for number, accuracy in last.items() if accuracy <= FLOOR}
    assert under, "some trials are under the floor"
    assert summary["front"]
    assert not under & {trial["number"] for trial in summary["front"]}
    assert not under & {record.trial.number for record in records if record.on("test")}
    for rule, value in (("knee", None), ("front", None), ("min_accuracy", 0.0), ("max_flops", 1.0)):
        chosen = [each.record.trial.number for each in select(records, NUM_BLOCKS, rule, value, limits) if each.record]
        assert chosen
        assert not under & set(chosen)


def test_the_volume_above_the_floor_stands_beside_the_old_one(settings: Settings) -> None:
    results = open_results(settings.run_folder, None)
    summary = summarize(results)
    results.close()
    assert (summary["floor"]["accuracy"], summary["floor"]["answer"]) == (FLOOR, "yes")
    assert summary["reference"]["accuracy"] == 0.0
    assert summary["reference_above_floor"]["accuracy"] == FLOOR
    steps, cost = 0.0, 1.0
    for trial in reversed(summary["front"]):  # columns of the staircase, from the dense cost down
        steps += (trial["accuracy"] - FLOOR) * max(0.0, cost - trial["flops_ratio"])
        cost = trial["flops_ratio"]
    assert summary["hypervolume_above_floor"] == pytest.approx(steps)
    assert summary["hypervolume"] > summary["hypervolume_above_floor"]
    shown = Console(width=140, record=True, file=StringIO())
    shown.print(front_table(summary, 140))
    (row,) = [line.split() for line in shown.export_text().splitlines() if line.strip().startswith("floor  ")]
    assert row == ["floor", "0.600"]
    assert "above accuracy 0.6, which always answering 'yes' reaches (" in hypervolumes(summary)


def test_the_floor_is_measured_by_the_dense_trial_and_known_on_resume(settings: Settings) -> None:
    more = settings.model_copy(update={"budget": 31})
    with open_run(more, problem_of(more)) as controller:
        assert controller.history.limits.floor == FLOOR
        assert controller.history.observation(0).floor == FLOOR
        assert controller.history.record(0).plan.is_dense
        job = controller.next()
        assert job is not None
        assert not any(rung.floor for rung in job.request.rungs), "only the dense trial measures it"


@pytest.mark.slow
def test_guided_search_spends_less_under_the_floor(tmp_path: Path) -> None:
    def under(name: str, **given: float) -> int:
        settings = settings_in(tmp_path / name, strategy="guided", budget=45)
        records = search(settings, PretendWorker(**given))
        return sum(record.on("search")[-1].accuracy <= FLOOR for record in records)

    assert under("with", floor=FLOOR) < under("without")


class TunableWorker(PretendWorker):
    """Without tuning, a plan that skips anything answers nothing right; tuning makes up for all of it."""

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        for report in super().rungs(request):
            untuned = not report.tuning_steps and not request.plan.is_dense
            yield report.model_copy(update={"accuracy": 0.0}) if untuned else report


@pytest.mark.parametrize("tuning_steps", [10, 0])
def test_a_trial_under_the_floor_goes_on_if_tuning_may_raise_it(tuning_steps: int, tmp_path: Path) -> None:
    """The floor is a minimum of the tuned accuracy; without tuning an accuracy below it stays there."""
    rungs = (Rung(questions=16), Rung(tuning_steps=tuning_steps))
    settings = settings_in(tmp_path / "run", strategy="random", budget=20, rungs=rungs, keep_fraction=0.04)
    records = search(settings, TunableWorker(floor=0.1))
    tuned = [record for record in records if len(record.on("search")) == 2 and record.trial.number]
    assert bool(tuned) == bool(tuning_steps)


class BlindWorker(PretendWorker):
    """The dense model says "cat" to everything."""

    def rungs(self, request: TrialRequest):  # type: ignore[no-untyped-def]
        for report in super().rungs(request):
            yield self._with_answers(report)

    def _with_answers(self, report: RungReport) -> RungReport:
        asked = tuple(
            QuestionRecord(id=f"search-{i}", image=str(i), kind="all", question=f"what is {i} ?", accepted=("dog",))
            for i in range(report.questions)
        )
        return report.model_copy(update={"asked": asked, "answers": ("cat",) * report.questions})


def test_a_dense_model_at_the_floor_ends_the_search_with_examples(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", strategy="random", budget=5)
    shown = Console(width=200, record=True, file=StringIO())
    with open_run(settings, problem_of(settings)) as controller, Progress(controller, 5, shown) as progress:
        with pytest.raises(BlindModelError, match=r"dense model must be better than the floor.*--allow-blind") as told:
            run_here(controller, progress, BlindWorker(floor=1.0))
        assert len(controller.history) == 1
        assert "\n" not in str(told.value)
    assert shown.export_text().count("'cat', accepted 'dog'") == 3
    with open_run(settings, problem_of(settings)) as controller, pytest.raises(BlindModelError):
        controller.next()
    allowed = settings.model_copy(update={"allow_blind": True})
    records = search(allowed, BlindWorker(floor=1.0))
    assert len(records) == 5
    assert not any(record.on("test") for record in records), "nothing under the floor costs a test"
