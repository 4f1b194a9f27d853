"""The controller on a problem with known answers: one row per trial of the budget, also after faults."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna_dashboard._note import get_note
from rich.console import Console
from sqlalchemy import Connection, Engine
from sqlalchemy.event import listen, remove

from objectives.objectives import MAXIMIZE
from search.analysis.summary import summarize
from search.console.progress import Progress
from search.dispatch.in_process import run_here
from search.loop.controller import MAX_LOSSES, Controller
from search.loop.open_run import open_run
from search.loop.problem import Problem
from search.settings import Settings, SettingsError
from search.storage.find_run import open_results
from search.storage.lease import AlreadyRunningError
from search.storage.results import TrialRecord
from search.storage.study import SearchStudy
from spaces.plan import Plan
from tests.fast import but_slow
from tests.search.pretend import (
    IMPORTANCE,
    PretendWorker,
    margins_of,
    problem_of,
    report_of,
    settings_in,
    true_accuracy,
)
from workers.reports import RungReport
from workers.requests import TrialRequest
from workers.trial import run_trial
from workers.watchdog import Watchdog

STRATEGIES = ("random", "tpe", "nsga2", "evolution", "guided")


def search(
    settings: Settings, worker: PretendWorker | None = None, problem: Problem | None = None
) -> list[TrialRecord]:
    """Runs a search to its end and returns what is in its database."""
    with open_run(settings, problem or problem_of(settings)) as controller:
        drive(controller, worker or PretendWorker())
        controller.close()
    return records_of(settings)


def drive(controller: Controller, worker: PretendWorker) -> None:
    with Progress(controller, 1, Console(quiet=True)) as progress:
        run_here(controller, progress, worker)


def records_of(settings: Settings) -> list[TrialRecord]:
    results = open_results(settings.run_folder, settings.storage)
    try:
        return results.records()
    finally:
        results.close()


def study_of(settings: Settings) -> optuna.Study:
    results = open_results(settings.run_folder, settings.storage)
    results.close()
    return optuna.load_study(study_name=results.run.study, storage=settings.storage_url)


class Broken(PretendWorker):
    """Calls `act` at a rung of the trials that `hit` chooses; its result, if any, replaces the report."""

    def __init__(self, hit: Callable[[TrialRequest], bool], act: Callable[[], Any], rung: int = 1) -> None:
        super().__init__()
        self.hit, self.act, self.rung = hit, act, rung

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        for index, report in enumerate(super().rungs(request)):
            yield self.act() or report if self.hit(request) and index == self.rung else report


class Stop(BaseException):
    """Ends a run at once, like a signal that nobody catches."""


@pytest.mark.parametrize("strategy", but_slow(STRATEGIES, ["random"]))
def test_one_row_is_one_unit_of_the_budget(tmp_path: Path, strategy: str) -> None:
    # long enough that a trial of `guided`, which first proposes members of the first front, is stopped
    settings = settings_in(tmp_path / "run", strategy=strategy, budget=60)
    records = search(settings)
    assert [record.trial.number for record in records] == list(range(60))
    assert len({(r.trial.digest, r.trial.request["first_rung"]) for r in records}) == 60, "nothing is measured twice"
    assert {record.trial.state for record in records} == {"complete", "stopped"}
    trials = study_of(settings).trials
    assert [trial.number for trial in trials] == list(range(60))
    for trial, record in zip(trials, records, strict=True):
        assert trial.user_attrs["plan"] == record.trial.plan
        assert trial.state.name == {"complete": "COMPLETE", "stopped": "PRUNED"}[record.trial.state]
        if record.trial.state == "complete":
            last = record.on("search")[2]
            assert trial.values == [last.accuracy, last.flops_ratio]
        else:
            assert trial.values is None
            assert trial.user_attrs["rung_0"]["accuracy"] == record.on("search")[0].accuracy


@pytest.mark.parametrize("strategy", but_slow(STRATEGIES, ["random"]))
def test_the_same_seed_gives_the_same_search_and_another_seed_another(tmp_path: Path, strategy: str) -> None:
    # long enough that the best child, which `guided` finds early for any drawn children, is no longer the same
    runs = [search(settings_in(tmp_path / f"run{i}", strategy=strategy, seed=i // 2, budget=40)) for i in range(3)]
    plans = [[record.trial.plan for record in run] for run in runs]
    assert plans[0] == plans[1]
    assert plans[0] != plans[2]


def test_only_full_trials_enter_the_front(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", budget=80, strategy="evolution")
    records = search(settings)
    results = open_results(settings.run_folder, settings.storage)
    front = {trial["number"] for trial in summarize(results)["front"]}
    full = {r.trial.number for r in records if len(r.on("search")) == 3}
    assert front <= full
    points = {r.trial.number: (r.on("search")[-1].accuracy, r.on("search")[-1].flops_ratio) for r in records}
    for number in full:
        better = [p for n, p in points.items() if n in full and p[0] >= points[number][0] and p[1] <= points[number][1]]
        assert (number in front) == all(p == points[number] for p in better)
    assert {r.trial.number for r in records if r.on("test")} == front | {0}
    assert all(r.trial.state == "stopped" for r in records if r.trial.origin.startswith("scan"))


def test_plans_below_the_accuracy_asked_for_are_measured_and_do_not_count(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", budget=30, min_accuracy=0.6, strategy="random", keep_fraction=1.0)
    records = search(settings)
    full = {r.trial.number: r.on("search")[-1].accuracy for r in records if r.trial.state == "complete"}
    short = {number for number, accuracy in full.items() if accuracy < 0.6}
    assert short and short < set(full)
    results = open_results(settings.run_folder, settings.storage)
    summary = summarize(results)
    results.close()
    assert summary["front"]
    assert not short & {trial["number"] for trial in summary["front"]}
    assert not short & {record.trial.number for record in records if record.on("test")}
    study = study_of(settings)
    broken = {trial.number for trial in study.trials if trial.system_attrs.get("constraints", [0.0])[0] > 0}
    assert broken == short
    assert not short & {trial.number for trial in study.best_trials}


@pytest.mark.slow
def test_guided_is_ahead_of_evolution_and_that_of_random_here(tmp_path: Path) -> None:
    volumes = {}
    for strategy in ("random", "evolution", "guided"):
        settings = settings_in(tmp_path / strategy, strategy=strategy, budget=120)
        search(settings)
        volumes[strategy] = summarize(open_results(settings.run_folder, None))["hypervolume"]
    assert volumes["guided"] > volumes["evolution"] > volumes["random"]


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda: 1 / 0, "ZeroDivisionError"),
        (lambda: report_of(Plan.dense(8), 1, settings_in(Path()).rungs[1], math.nan), "finite"),
        (lambda: time.sleep(30), "time limit"),
    ],
    ids=["raises", "nan", "hangs"],
)
def test_a_bad_trial_is_failed_with_its_reason_and_stops_nothing(
    tmp_path: Path, act: Callable[[], Any], reason: str
) -> None:
    def limited() -> Any:
        with Watchdog(0.2):
            return act()

    settings = settings_in(tmp_path / "run", strategy="random", budget=12, keep_fraction=1.0)
    records = search(settings, Broken(lambda request: request.number in (3, 5), limited))
    failed = [record for record in records if record.trial.state == "failed"]
    assert [record.trial.number for record in failed] == [3, 5]
    assert all(reason in str(record.trial.reason) for record in failed)
    assert all(record.on("search")[0].accuracy for record in failed), "the rung before stays"
    assert len(records) == 12
    trials = study_of(settings).trials
    assert [trial.state.name for trial in trials if trial.number in (3, 5)] == ["FAIL", "FAIL"]
    assert reason in trials[3].user_attrs["reason"]


@pytest.mark.parametrize("strategy", but_slow(STRATEGIES, ["random"]))
def test_a_search_cut_off_at_any_trial_goes_on_as_if_nothing_had_happened(tmp_path: Path, strategy: str) -> None:
    whole = search(settings_in(tmp_path / "whole", strategy=strategy))
    settings = settings_in(tmp_path / "cut", strategy=strategy)
    for victim in (0, 7, 8, 21):

        def stop() -> None:
            raise Stop

        with pytest.raises(Stop):
            search(settings, Broken(lambda request, victim=victim: request.number == victim, stop, rung=0))
    cut = search(settings)
    assert len(cut) == 30
    assert len({(record.trial.digest, record.trial.request["first_rung"]) for record in cut}) == 30
    assert all(record.trial.state in ("complete", "stopped") for record in cut)
    if strategy in ("random", "evolution", "guided"):
        assert [record.trial.plan for record in cut] == [record.trial.plan for record in whole]
        assert [record.trial.state for record in cut] == [record.trial.state for record in whole]


def test_a_trial_that_was_running_keeps_its_number_and_plan(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", strategy="random", keep_fraction=1.0)

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        search(settings, Broken(lambda request: request.number == 4, stop))
    (running,) = [record for record in records_of(settings) if record.trial.state == "running"]
    assert running.trial.number == 4
    after = search(settings)[4]
    assert (after.trial.plan, after.trial.attempt, after.trial.state) == (running.trial.plan, 2, "complete")


def test_a_trial_whose_end_is_cut_off_is_running_in_both_tables_and_runs_again(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", strategy="random", keep_fraction=1.0, budget=6)
    with open_run(settings, problem_of(settings)) as controller:

        def die(*_: object) -> None:
            raise Stop

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SearchStudy, "note", die)  # between the results tables and the study
            with pytest.raises(Stop):
                drive(controller, PretendWorker())
    assert records_of(settings)[0].trial.state == "running"
    assert study_of(settings).trials[0].state.name == "RUNNING"
    records = search(settings)
    assert (records[0].trial.state, records[0].trial.attempt) == ("complete", 2)
    assert study_of(settings).trials[0].state.name == "COMPLETE"


def test_every_event_is_one_transaction(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", strategy="random", budget=20, final_seeds=1)
    commits: list[Connection] = []

    def count(connection: Connection) -> None:
        commits.append(connection)

    with open_run(settings, problem_of(settings)) as controller:
        listen(Engine, "commit", count)
        try:
            drive(controller, PretendWorker())
        finally:
            remove(Engine, "commit", count)
    records = records_of(settings)
    rungs = sum(len(record.rungs) for record in records)
    assert len(commits) == len(records) + rungs + len(records), "a start, a rung, an end"


def test_a_job_whose_worker_dies_too_often_is_failed(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", strategy="random", budget=4)
    with open_run(settings, problem_of(settings)) as controller:
        dense = controller.next()
        assert dense is not None
        report = run_trial(PretendWorker(), dense.request, lambda rung: controller.rung(dense, rung))  # type: ignore[arg-type]
        controller.done(dense, report)
        job = controller.next()
        assert job is not None
        for _ in range(MAX_LOSSES - 1):
            assert controller.lost(job, "killed") == job
        assert controller.lost(job, "killed") is None
        assert controller.history.observation(job.number).state == "failed"
        assert not controller.finished
    assert "killed" in str(records_of(settings)[job.number].trial.reason)


@pytest.mark.slow
def test_limits_are_kept_by_every_trial_that_can_enter_the_front(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", max_flops=0.5, budget=60)
    records = search(settings)
    assert records[0].trial.plan == "." * 8, "the dense model is run for comparison"
    others = [r for r in records[1:] if not r.trial.origin.startswith("scan") and r.on("search")]
    assert others
    assert all(record.on("search")[0].flops_ratio <= 0.5 for record in others)
    summary = summarize(open_results(settings.run_folder, None))
    assert summary["front"]
    assert all(trial["flops_ratio"] <= 0.5 for trial in summary["front"])
    dense, *_ = study_of(settings).trials
    assert dense.constraints == pytest.approx({"--max-flops": 0.5, "0": 0.5})


@pytest.mark.slow
def test_a_space_that_is_used_up_ends_the_search(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", space="interval", strategy="random", budget=10_000)
    problem = problem_of(settings)
    records = search(settings)
    assert len(records) == problem.space.size
    assert {record.trial.plan for record in records} == {str(plan) for plan in problem.space.enumerate()}


def test_a_larger_budget_goes_on_and_other_settings_are_refused(tmp_path: Path) -> None:
    search(settings_in(tmp_path / "run", budget=10, strategy="random"))
    assert len(search(settings_in(tmp_path / "run", budget=15, strategy="random"))) == 15
    with pytest.raises(SettingsError, match="seed was 0, now 1"):
        search(settings_in(tmp_path / "run", budget=15, strategy="random", seed=1))
    with pytest.raises(SettingsError, match="space was 'layers', now 'blocks'"):
        search(settings_in(tmp_path / "run", budget=15, strategy="random", space="blocks"))


def test_a_second_controller_is_refused(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run")
    with (
        open_run(settings, problem_of(settings)),
        pytest.raises(AlreadyRunningError),
        open_run(settings, problem_of(settings)),
    ):
        pass


@pytest.mark.slow
def test_the_best_plan_of_a_small_space_is_found(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", space="blocks", budget=250)
    problem = problem_of(settings)
    search(settings)
    front = summarize(open_results(settings.run_folder, None))["front"]
    truth = {plan: (true_accuracy(plan), problem.costs(plan).flops_ratio) for plan in problem.space.enumerate()}
    half = max(accuracy for accuracy, ratio in truth.values() if ratio <= 0.55)
    assert max(trial["accuracy"] for trial in front if trial["flops_ratio"] <= 0.55) == pytest.approx(half, abs=0.02)


def test_objectives_are_named_in_the_study(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", budget=3)
    search(settings)
    study = study_of(settings)
    assert study.metric_names == ["accuracy", "flops_ratio"]
    assert [d.name == "MAXIMIZE" for d in study.directions] == list(MAXIMIZE)
    notes = [get_note(optuna.trial.Trial(study, trial._trial_id)) for trial in study.trials]
    for trial, note in zip(study.trials, notes, strict=True):
        assert f"`{trial.user_attrs['plan']}`" in note
        assert f"{trial.values[0]:.3f}" in note if trial.values else "stopped" in note


@pytest.mark.parametrize("minimize", ["flops", "sparse_flops"])
def test_what_is_minimized_is_what_is_stored_and_what_makes_the_front(tmp_path: Path, minimize: str) -> None:
    changes = {"space": "full", "minimize": minimize, "max_flops": 0.9, "budget": 40}
    settings = settings_in(tmp_path / "run", strategy="random", **changes)
    problem, records = problem_of(settings), search(settings)
    dense = problem.costs(Plan.dense(8)).flops
    stored = [(Plan.parse(record.trial.plan), rung) for record in records for rung in record.rungs]
    for plan, rung in stored:
        assert rung.flops_ratio == pytest.approx(getattr(problem.costs(plan), minimize) / dense)
        assert rung.costs["sparse_flops"] <= rung.costs["flops"] == rung.flops
    assert any(rung.costs["sparse_flops"] < rung.costs["flops"] for _, rung in stored)
    results = open_results(settings.run_folder, settings.storage)
    found = summarize(results)
    results.close()
    allowed = [o for o in problem_history(settings) if o[1] <= 0.9]
    assert {trial["plan"] for trial in found["front"]} == {
        str(plan) for plan, ratio, accuracy in allowed
        if not any(r <= ratio and a >= accuracy and (r, a) != (ratio, accuracy) for _, r, a in allowed)
    }  # fmt: skip
    assert all(trial["sparse_flops"] <= trial["flops"] for trial in found["front"])


def problem_history(settings: Settings) -> list[tuple[Plan, float, float]]:
    """(plan, ratio, accuracy) of the trials that ended all their rungs."""
    problem = problem_of(settings)
    return [
        (plan, problem.ratio(plan), record.on("search")[-1].accuracy)
        for record in records_of(settings)
        if record.trial.state == "complete"
        for plan in [Plan.parse(record.trial.plan)]
    ]


def test_signals_are_measured_once_where_the_strategy_reads_them(tmp_path: Path) -> None:
    for strategy, reads in (("guided", True), ("evolution", False)):
        settings, worker = settings_in(tmp_path / strategy, strategy=strategy, budget=20), PretendWorker()
        records = search(settings, worker)
        searched = [request for request in worker.requests if request.rungs[0].split == "search"]
        assert {request.rungs[0].margins for request in searched} == {reads}
        assert not any(rung.margins for request in worker.requests for rung in request.rungs[1:])
        profiled = [request for request in worker.requests if any(rung.importance for rung in request.rungs)]
        assert [request.plan.is_dense for request in profiled] == [True] * reads, "of the dense model, once"
        with open_run(settings, problem_of(settings)) as controller:
            trials = controller.history.observations()
            seen = {trial.number: trial.margins for trial in trials}
            assert trials[0].plan.is_dense and trials[0].importance == (IMPORTANCE if reads else None)
            assert not any(trial.importance for trial in trials[1:])
        for record in records:
            expected = margins_of(Plan.parse(record.trial.plan)) if reads else None
            assert seen.get(record.trial.number, expected) == expected
