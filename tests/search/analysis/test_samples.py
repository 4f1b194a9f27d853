"""Answers are stored and displayed, first those that only the dense model got right."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from search.analysis.samples import answered_questions, most_informative
from search.console.progress import Progress
from search.dispatch.in_process import run_here
from search.loop.open_run import open_run
from search.report import app
from search.settings import Settings
from search.storage.find_run import open_results
from search.storage.results import TrialRecord
from tests.search.loop.test_controller import search
from tests.search.pretend import PretendWorker, problem_of, settings_in
from workers.reports import QuestionRecord, RungReport
from workers.requests import TrialRequest

SMALL = {"strategy": "random", "budget": 12, "metric": "exact_match"}


class Talking(PretendWorker):
    """Answers "yes" if it is right, else a text with its plan, rung and seed."""

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        plan = request.plan
        for report in super().rungs(request):
            wrong = f"no, {plan} at {report.rung} with {request.seed}"
            asked = [
                QuestionRecord(
                    id=f"{report.split}-{i}", image=f"i{i}", kind="all", question="is it?", accepted=("yes",)
                )
                for i in range(report.questions)
            ]
            said = tuple("yes" if score else wrong for score in report.scores)
            yield report.model_copy(update={"answers": said, "asked": tuple(asked) if plan.is_dense else None})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[TrialRecord]]:
    settings = settings_in(tmp_path_factory.mktemp("samples") / "run", **SMALL)
    return settings, search(settings, Talking())


def test_every_trial_keeps_the_answers_of_its_last_rung_and_of_every_test(
    run: tuple[Settings, list[TrialRecord]],
) -> None:
    settings, records = run
    results = open_results(settings.run_folder, None)
    dense = next(record for record in records if set(record.trial.plan) == {"."})
    assert {record.trial.state for record in records} == {"complete", "stopped"}
    for record in records:
        last = record.on("search")[-1]
        kept = results.answers(record.trial.number)
        assert set(kept) == {("search", last.seed), *(("test", test.seed) for test in record.on("test"))}
        answered = list(answered_questions(results, dense, record))
        on_search = [each for each in answered if each.split == "search"]
        assert [each.score for each in on_search] == last.scores
        assert [each.question_id for each in on_search] == [f"search-{i}" for i in range(last.questions)]
        assert {each.answer for each in on_search if not each.score} == (
            {f"no, {record.trial.plan} at {last.rung} with 0"} if min(last.scores) == 0 else set()
        )
        assert {each.answer for each in on_search if each.score} <= {"yes"}
        for seed, test in record.tests.items():
            of_seed = [each for each in answered if (each.split, each.seed) == ("test", seed)]
            assert [each.score for each in of_seed] == test.scores
            assert all(each.answer == f"no, {record.trial.plan} at 0 with {seed}" for each in of_seed if not each.score)
    results.close()


def test_losses_come_first(run: tuple[Settings, list[TrialRecord]]) -> None:
    settings, records = run
    results = open_results(settings.run_folder, None)
    dense, tested = records[0], next(record for record in records[::-1] if record.tests)
    answered = list(answered_questions(results, dense, tested))
    shown = most_informative(answered, 10_000)
    results.close()
    assert {each.split for each in shown} == {"test"} and {each.seed for each in shown} == {0}
    losses = [each.dense_score > each.score for each in shown]
    assert any(losses) and losses == sorted(losses, reverse=True)
    assert most_informative(answered, 3) == shown[:3]


def test_the_report_shows_and_writes_them(run: tuple[Settings, list[TrialRecord]], tmp_path: Path) -> None:
    settings, records = run
    runner, folder, file = CliRunner(), str(settings.run_folder), tmp_path / "samples.jsonl"
    shown = runner.invoke(app, ["--out", folder, "--samples", "2", "--trial", "1"])
    assert shown.exit_code == 0, shown.output
    assert "What trial 1 (" in shown.output and shown.output.count("is it?") == 2
    assert runner.invoke(app, ["--out", folder, "--samples-to", str(file)]).exit_code == 0
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for record in records:
        for test in record.on("test"):
            mine = [each for each in lines if (each["trial"], each["seed"], each["split"]) == (
                record.trial.number, test.seed, "test")]  # fmt: skip
            assert [each["score"] for each in mine] == test.scores
    missing = runner.invoke(app, ["--out", folder, "--samples", "2", "--trial", "99"])
    assert missing.exit_code == 2 and "--trial must be the number of a trial, got 99" in missing.output


def test_a_run_without_answers_says_so(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", **SMALL)
    search(settings)
    shown = CliRunner().invoke(app, ["--out", str(settings.run_folder), "--samples", "2"])
    assert shown.exit_code == 2
    assert shown.output.startswith("error: a trial must have finished a rung with a version that stores answers")


class Chatty(Talking):
    """Is right, in sentences."""

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        for report in super().rungs(request):
            said = ("I would say yes.",) * report.questions
            yield report.model_copy(update={"answers": said, "scores": (0.0,) * report.questions, "accuracy": 0.0})


def test_a_model_that_answers_in_sentences_is_told_at_once_and_in_the_report(tmp_path: Path) -> None:
    settings, log = settings_in(tmp_path / "run", **{**SMALL, "budget": 2}), io.StringIO()
    with open_run(settings, problem_of(settings)) as controller:
        with Progress(controller, 2, Console(file=log, width=300)) as progress:
            run_here(controller, progress, Chatty())
        controller.close()
    told = "wraps 16 of 16 answers in sentences, such as 'I would say yes.'"
    assert log.getvalue().count("in sentences") == 1
    assert told in log.getvalue() and log.getvalue().index(told) < log.getvalue().index("trial=0")
    report = CliRunner().invoke(app, ["--out", str(settings.run_folder)])
    assert "answers in sentences" in report.output
