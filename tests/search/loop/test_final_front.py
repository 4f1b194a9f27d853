"""The final test: every tuning seed is run and stored once, also after faults, and no choice depends on it."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from objectives.intervals import bootstrap_interval, paired_interval
from search.analysis.export_request import request_of
from search.analysis.select_trials import select
from search.analysis.summary import summarize
from search.console.front_table import front_table
from search.console.progress import Progress
from search.dispatch.in_process import run_here
from search.loop.controller import MAX_LOSSES
from search.loop.open_run import open_run
from search.loop.problem import Problem
from search.settings import Settings
from search.storage.find_run import open_results
from search.storage.results import TrialRecord
from tests.search.loop.test_controller import Stop, drive, records_of, search, study_of
from tests.search.pretend import NUM_BLOCKS, PretendWorker, problem_of, settings_in
from workers.reports import RungReport
from workers.requests import Rung, TrialRequest
from workers.trial import Worker, run_trial

SMALL = {"strategy": "random", "budget": 12, "keep_fraction": 1.0}


class Seeded(PretendWorker):
    """Tuned weights are stored, and what is measured on test is drawn by plan and seed: it has nothing to do with the
    search split."""

    def __init__(self, before: Callable[[int], Any] | None = None) -> None:
        super().__init__()
        self.before = before
        self.tests: list[TrialRequest] = []
        self.answered: list[tuple[int | None, int]] = []

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        testing = request.rungs[0].split == "test"
        if testing:
            self.tests.append(request)
            if self.before:
                self.before(len(self.tests))
            self.answered.append((request.number, request.seed))
        for report in super().rungs(request):
            yield self._drawn(request, report) if testing else self._with_module(request, report)

    def _drawn(self, request: TrialRequest, report: RungReport) -> RungReport:
        rng = np.random.default_rng([int(request.plan.digest[:8], 16), request.seed])
        scores = tuple((rng.random(40) < rng.uniform(0.3, 0.9)).astype(float).tolist())
        accuracy, latency = float(np.mean(scores)), {"prefill_median": 0.1} if request.rungs[0].latency else None
        return report.model_copy(update={"scores": scores, "accuracy": accuracy, "latency": latency})

    def _with_module(self, request: TrialRequest, report: RungReport) -> RungReport:
        if not report.tuned or report.rung + 1 < len(request.rungs) or request.artifacts is None:
            return report
        name = f"trial-{request.number:06d}.safetensors"
        Path(request.artifacts).mkdir(exist_ok=True)
        (Path(request.artifacts) / name).touch()
        return report.model_copy(update={"artifact": name})


def stop() -> None:
    raise Stop


def found(settings: Settings) -> dict[str, Any]:
    results = open_results(settings.run_folder, None)
    try:
        return summarize(results)
    finally:
        results.close()


def members_of(settings: Settings) -> set[int]:
    return {trial["number"] for trial in found(settings)["front"]} | {0}


def stored_tests(records: list[TrialRecord]) -> list[tuple[int, int]]:
    return [(record.trial.number, seed) for record in records for seed in record.tests]


@pytest.mark.slow
def test_the_front_as_it_is_stored_then_tuned_anew_one_seed_after_another(tmp_path: Path) -> None:
    settings, worker = settings_in(tmp_path / "run", seed=4, **SMALL), Seeded()
    records = search(settings, worker)
    members = members_of(settings)
    assert len(members) > 2
    assert [request.seed for request in worker.tests] == [4] * len(members) + [5] * len(members) + [6] * len(members)
    assert {(request.number, request.seed) for request in worker.tests} == {(n, s) for n in members for s in (4, 5, 6)}
    for request in worker.tests:
        if request.seed == 4:
            assert request.rungs == (Rung(split="test", latency=True),)
            assert request.mapping_module == str(tmp_path / f"run/artifacts/trial-{request.number:06d}.safetensors")
        else:
            assert request.rungs == (Rung(tuning_steps=10, split="test"),)
            assert request.mapping_module is None
        assert (request.artifacts, request.tuning) == (None, settings.tuning), "what the search stored stays"
    for record in records:
        assert list(record.tests) == ([4, 5, 6] if record.trial.number in members else [])
    by_request = {(request.number, request.seed): request for request in worker.tests}
    for number, seed in stored_tests(records):
        request, stored = by_request[number, seed], records[number].tests[seed]
        (report,) = Seeded().rungs(request)
        assert (stored.accuracy, tuple(stored.scores)) == (report.accuracy, report.scores)
        assert (stored.seed, stored.tuning_steps) == (seed, 0 if seed == 4 else 10)


@pytest.mark.parametrize("when", ["while it runs", "once it is stored"])
def test_a_search_killed_at_any_test_repeats_none_that_is_stored(tmp_path: Path, when: str) -> None:
    settings = settings_in(tmp_path / "run", **SMALL)
    done: list[tuple[int | None, int]] = []
    for victim in (1, 2, 4, 3):
        worker = Seeded((lambda count, victim=victim: count == victim and stop()) if when == "while it runs" else None)
        with open_run(settings, problem_of(settings)) as controller, pytest.raises(Stop):
            if when == "once it is stored":
                end = controller.final.ended
                controller.final.ended = lambda *of, end=end, worker=worker, victim=victim: (
                    stop() if len(worker.tests) == victim else end(*of)
                )
            drive(controller, worker)
        assert len(worker.tests) == victim
        done += worker.answered
    worker = Seeded()
    records = search(settings, worker)
    assert worker.tests, "some were left for the last start"
    done += worker.answered
    wanted = sorted((number, seed) for number in members_of(settings) for seed in (0, 1, 2))
    assert sorted(done) == wanted, "every test was answered once"
    assert sorted(stored_tests(records)) == wanted
    again = Seeded()
    search(settings, again)
    assert not again.requests


def test_one_seed_is_one_look_at_what_is_stored(tmp_path: Path) -> None:
    settings, worker = settings_in(tmp_path / "run", final_seeds=1, **SMALL), Seeded()
    records = search(settings, worker)
    assert {request.number for request in worker.tests} == members_of(settings)
    assert all(request.rungs == (Rung(split="test", latency=True),) for request in worker.tests)
    dense = records[0].tests[0]
    for trial in found(settings)["front"]:
        stored, test = records[trial["number"]].tests[0], trial["test"]
        expected = {
            "accuracy": stored.accuracy,
            "interval": bootstrap_interval(stored.scores),
            "latency": {"prefill_median": 0.1},
            "difference_to_dense": pytest.approx(np.mean(np.subtract(stored.scores, dense.scores))),
            "difference_interval": paired_interval(stored.scores, dense.scores),
        }
        assert test == {
            **expected,
            "seeds": [{"seed": 0, "accuracy": stored.accuracy}],
            "seed_spread": None,
            "own": expected,
        }


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[int, Any]]:
    """The summary of a search, and number of a trial -> its scores on test, (seeds, questions)."""
    settings = settings_in(tmp_path_factory.mktemp("tested") / "run", **SMALL)
    records = search(settings, Seeded())
    scores = {
        record.trial.number: np.array([record.tests[seed].scores for seed in (0, 1, 2)])
        for record in records
        if record.tests
    }
    return found(settings), scores


def test_the_report_is_the_mean_over_seeds(tested: tuple[dict[str, Any], dict[int, Any]]) -> None:
    summary, scores = tested
    for trial in summary["front"]:
        per_seed, test = scores[trial["number"]].mean(axis=1), trial["test"]
        assert len(set(per_seed)) > 1
        assert test["accuracy"] == pytest.approx(per_seed.mean())
        assert [each["accuracy"] for each in test["seeds"]] == pytest.approx(per_seed)
        assert [each["seed"] for each in test["seeds"]] == [0, 1, 2]
        assert test["seed_spread"] == pytest.approx(np.sqrt(((per_seed - per_seed.mean()) ** 2).sum() / 2))
        assert [rung["seed"] for rung in trial["rungs"] if rung["split"] == "test"] == [0, 1, 2]


def test_the_intervals_of_the_report_are_over_questions(tested: tuple[dict[str, Any], dict[int, Any]]) -> None:
    summary, scores = tested
    for trial in summary["front"]:
        mine, test = scores[trial["number"]], trial["test"]
        difference = mine.mean(axis=0) - scores[0].mean(axis=0)
        assert test["difference_to_dense"] == pytest.approx(difference.mean())
        assert test["interval"] == pytest.approx(bootstrap_interval(mine.mean(axis=0).tolist()))
        assert test["difference_interval"] == pytest.approx(bootstrap_interval(difference.tolist()))
        assert test["own"]["accuracy"] == pytest.approx(mine[0].mean())
        assert test["own"]["interval"] == pytest.approx(bootstrap_interval(mine[0].tolist()))
        assert test["own"]["difference_to_dense"] == pytest.approx((mine[0] - scores[0][0]).mean())
        assert test["own"]["latency"] == test["latency"] == {"prefill_median": 0.1}


def test_the_table_shows_the_mean_over_seeds_and_their_spread(tested: tuple[dict[str, Any], dict[int, Any]]) -> None:
    summary, _ = tested
    console = Console(width=200)
    with console.capture() as shown:
        console.print(front_table(summary, 200))
    table = shown.get()
    for trial in summary["front"]:
        row = next(line for line in table.splitlines() if f" {trial['plan']} " in line)
        assert f"{trial['test']['accuracy']:.3f} [" in row
        assert f"±{trial['test']['seed_spread']:.3f}" in row
    assert any(line.startswith(f"dense 0  {'.' * NUM_BLOCKS}") for line in table.splitlines())


def test_an_export_says_what_its_own_projector_scored(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", **SMALL)
    records = search(settings, Seeded())
    results = open_results(settings.run_folder, None)
    number = max(members_of(settings))
    (chosen,) = select(records, NUM_BLOCKS, "trial", number)
    request = request_of(results, chosen, settings.run_folder)
    results.close()
    assert request.trial.mapping_module == str(tmp_path / f"run/artifacts/trial-{number:06d}.safetensors")
    assert request.trial.seed == 0
    own = records[number].tests[0]
    said = request.record["metrics"]["test"]
    assert (said["accuracy"], said["interval"]) == (own.accuracy, bootstrap_interval(own.scores))
    assert said["accuracy"] != pytest.approx(np.mean([test.accuracy for test in records[number].tests.values()]))
    assert request.record["metrics"]["dense"]["test"]["accuracy"] == records[0].tests[0].accuracy


def test_nothing_is_chosen_on_test(tmp_path: Path) -> None:
    """Random scores on test contradict the search split, and change no result of the search."""

    def said(settings: Settings) -> tuple[Any, ...]:
        summary = found(settings)
        front = [{k: v for k, v in t.items() if k not in ("test", "rungs", "retention")} for t in summary["front"]]
        trials = [(t.state, t.values, t.user_attrs, t.system_attrs) for t in study_of(settings).trials]
        modules = [record.mapping_module for record in records_of(settings)]
        return front, summary["hypervolume"], summary["counts"], summary["rank_flips"], trials, modules

    settings = settings_in(tmp_path / "run", final_seeds=1, **SMALL)

    def before(count: int) -> None:
        stop()

    with pytest.raises(Stop):
        search(settings, Seeded(before))
    untested = said(settings)
    search(settings, Seeded())
    once = said(settings)
    more, worker = settings_in(tmp_path / "run", **SMALL), Seeded()
    search(more, worker)
    assert {request.seed for request in worker.requests} == {1, 2}, "another number of seeds repeats nothing"
    assert untested == once == said(more)
    front = found(more)["front"]
    order = np.argsort([trial["test"]["accuracy"] for trial in front]).tolist()
    assert order != sorted(order), "on test the order is another one"


def test_what_is_not_tuned_is_the_same_with_every_seed_and_tested_once(tmp_path: Path) -> None:
    settings, worker = settings_in(tmp_path / "run", rungs=(Rung(questions=16), Rung()), **SMALL), Seeded()
    search(settings, worker)
    assert sorted((request.number, request.seed) for request in worker.tests) == [
        (number, 0) for number in sorted(members_of(settings))
    ]


def test_a_dense_model_that_tuning_did_not_help_is_compared_with_as_it_is(tmp_path: Path) -> None:
    settings, worker = settings_in(tmp_path / "run", **SMALL), PretendWorker()  # it stores no tuned projector
    records = search(settings, worker)
    members = members_of(settings)
    assert {record.trial.number: list(record.tests) for record in records if record.tests} == {
        number: [0] if number == 0 else [0, 1, 2] for number in members
    }
    for trial in found(settings)["front"]:
        mine = np.mean([test.scores for test in records[trial["number"]].tests.values()], axis=0)
        expected = paired_interval(mine.tolist(), records[0].tests[0].scores)
        assert trial["test"]["difference_interval"] == pytest.approx(expected)


def test_a_larger_budget_tests_what_is_new_on_the_front(tmp_path: Path) -> None:
    first = settings_in(tmp_path / "run", **{**SMALL, "budget": 6})
    before = set(stored_tests(search(first, Seeded())))
    second, worker = settings_in(tmp_path / "run", **{**SMALL, "budget": 30}), Seeded()
    search(second, worker)
    wanted = {(number, seed) for number in members_of(second) for seed in (0, 1, 2)}
    assert wanted - before and wanted & before
    assert sorted(worker.answered) == sorted(wanted - before)


@pytest.mark.slow
def test_a_seed_that_fails_is_an_event_and_stops_nothing(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", **SMALL)
    sizes = len(members_of_a_twin(tmp_path))

    def break_one(count: int) -> None:
        if count in (2, sizes + 1):  # one with the search's own seed, and the first of the next
            raise RuntimeError("broken on purpose")

    worker = Seeded(break_one)
    records = search(settings, worker)
    missing = [(request.number, request.seed) for request in (worker.tests[1], worker.tests[sizes])]
    assert [seed for _, seed in missing] == [0, 1]
    wanted = {(number, seed) for number in members_of(settings) for seed in (0, 1, 2)}
    assert set(stored_tests(records)) == wanted - set(missing)
    results = open_results(settings.run_folder, None)
    events = [event for event in results.events(limit=20) if event.kind == "test failed"]
    results.close()
    assert sorted((event.trial_number, event.message) for event in events) == sorted(
        (number, f"seed {seed}: RuntimeError: broken on purpose") for number, seed in missing
    )
    assert {record.trial.state for record in records} == {"complete"}
    for trial in [*found(settings)["front"], found(settings)["dense"]]:
        seeds = [seed for seed in (0, 1, 2) if (trial["number"], seed) not in missing]
        assert [each["seed"] for each in trial["test"]["seeds"]] == seeds
        stored = [test.accuracy for test in records[trial["number"]].tests.values()]
        assert trial["test"]["accuracy"] == pytest.approx(np.mean(stored))
        assert (trial["test"]["own"] is None) == (0 not in seeds)
    again = Seeded()
    search(settings, again)
    assert sorted(again.answered) == sorted(missing), "the next start tries them again, and no others"


def members_of_a_twin(folder: Path) -> set[int]:
    """Members of the front of the same search in another folder."""
    twin = settings_in(folder / "twin", **SMALL)
    search(twin, Seeded())
    return members_of(twin)


def test_a_seed_whose_worker_dies_too_often_is_given_up_alone(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", **SMALL)
    with pytest.raises(Stop):
        search(settings, Seeded(lambda count: stop()))
    with open_run(settings, problem_of(settings)) as controller:
        job, other = controller.next(), controller.next()
        assert job is not None and other is not None and job.key != other.key
        for _ in range(MAX_LOSSES - 1):
            assert controller.lost(job, "killed") == job
        assert controller.lost(other, "killed") == other, "losses are counted by job"
        assert controller.lost(job, "killed") is None
        left = controller.final.left
        controller.fail(other, "time limit")
        assert controller.final.left == left - 1
        assert not controller.finished
        worker = Seeded()
        drive(controller, worker)
        assert controller.finished
    gone = {(job.number, job.request.seed), (other.number, other.request.seed)}
    wanted = {(number, seed) for number in members_of(settings) for seed in (0, 1, 2)}
    assert set(worker.answered) == wanted - gone


def test_more_final_seeds_later_add_those_that_are_missing(tmp_path: Path) -> None:
    before = search(settings_in(tmp_path / "run", seed=4, final_seeds=1, **SMALL), Seeded())
    worker = Seeded()
    after = search(settings_in(tmp_path / "run", seed=4, final_seeds=2, **SMALL), worker)
    assert {request.seed for request in worker.requests} == {5}
    assert {seed for _, seed in stored_tests(after)} == {4, 5}
    for record, old in zip(after, before, strict=True):
        assert not old.tests or record.tests[4].scores == old.tests[4].scores


def test_a_line_a_test_names_its_seed_and_says_what_is_left(tmp_path: Path) -> None:
    settings, log = settings_in(tmp_path / "run", **SMALL), io.StringIO()
    with open_run(settings, problem_of(settings)) as controller:
        with Progress(controller, settings.budget, Console(file=log, width=200)) as progress:
            run_here(controller, progress, Seeded())
        controller.close()
    lines = [line for line in log.getvalue().splitlines() if line.startswith("test ")]
    records, num_members = records_of(settings), len(members_of(settings))
    assert len(lines) == 3 * num_members
    for place, line in enumerate(lines):
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        stored = records[int(words["trial"])].tests[int(words["seed"])]
        assert words["test_accuracy"] == f"{stored.accuracy:.3f}"
        last = place + 1 == len(lines)
        assert (f"[tests {place + 1}/{len(lines)}" in line) == (not last)
        assert ("eta 0m00s" in line) == (not last)


@pytest.mark.slow
def test_on_the_real_model_a_seed_is_the_whole_trial_with_that_seed(tmp_path: Path) -> None:
    data = {"max_train": 256, "max_tune": 64, "max_eval": 96}
    rungs = [{"questions": 16}, {"tuning_steps": 3, "questions": 32}, {"tuning_steps": 12}]
    given = {**SMALL, "budget": 4, "rungs": rungs, "dataset": data, "out": tmp_path / "run", "threads": 1}
    problem = Problem.resolve(Settings.model_validate({**given, "final_seeds": 2, "tuning": {"images_per_step": 4}}))
    worker, settings = Worker(), problem.settings
    with open_run(settings, problem) as controller:
        with Progress(controller, settings.budget, Console(quiet=True)) as progress:
            run_here(controller, progress, worker)
        controller.close()
    tests = {record.trial.number: record.tests for record in records_of(settings) if record.tests}
    assert all(set(seeds) == {0, 1} for number, seeds in tests.items() if number)
    assert any(seeds[0].accuracy != seeds[1].accuracy for seeds in tests.values() if len(seeds) > 1)
    for record in records_of(settings):
        for seed, stored in record.tests.items():
            request = TrialRequest.model_validate(json.loads(json.dumps(record.trial.request)))
            whole = (*request.rungs[:-1], request.rungs[-1].model_copy(update={"split": "test"}))
            by_hand = request.model_copy(update={"rungs": whole, "seed": seed, "artifacts": None})
            report = run_trial(worker, by_hand, lambda rung: True)
            assert list(report.rungs[-1].scores) == stored.scores
