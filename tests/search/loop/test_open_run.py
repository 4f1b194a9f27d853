"""A run is found by its id, also after its folder was moved, and not confused with another run."""

import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from search.loop.open_run import open_run
from search.settings import Settings, SettingsError
from search.storage.database_url import StorageError, sqlite_url, url_text
from search.storage.deleted_files import FilesGoneError
from search.storage.find_run import open_results
from tests.search.loop.test_controller import search
from tests.search.pretend import PretendWorker, problem_of, settings_in
from workers.reports import QuestionRecord, RungReport
from workers.requests import TrialRequest


def number_of_trials(settings: Settings) -> int:
    """Trials of the run that a folder and a database name."""
    results = open_results(settings.run_folder, settings.storage)
    try:
        return len(results.records())
    finally:
        results.close()


@pytest.fixture(params=["database in the folder", "database elsewhere"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    storage = url_text(sqlite_url(tmp_path / "all.db")) if request.param == "database elsewhere" else None
    return settings_in(tmp_path / "run", budget=6, storage=storage, strategy="random")


def move(folder: Path, to: Path) -> None:
    folder.rename(to)


def link(folder: Path, to: Path) -> None:
    to.symlink_to(folder)


def copy(folder: Path, to: Path) -> None:
    shutil.copytree(folder, to)


@pytest.mark.parametrize("act", [move, link, copy])
def test_a_folder_under_another_path_is_the_same_run(settings: Settings, tmp_path: Path, act) -> None:
    search(settings)
    (tmp_path / "deep").mkdir()
    act(settings.run_folder, tmp_path / "deep" / "renamed")
    there = settings.model_copy(update={"out": tmp_path / "deep" / "renamed", "budget": 8})
    search(there)
    assert number_of_trials(there) == 8, "six were there already"


def test_a_run_is_not_resumed_under_another_rule_of_its_metric_or_with_other_flops(tmp_path: Path) -> None:
    """Runs without a mark of the rule were scored by the first one."""
    settings = settings_in(tmp_path / "run", budget=2, strategy="random")
    search(settings)
    problem = problem_of(settings)
    ruled = replace(problem, fingerprints={**problem.fingerprints, "rule of exact_match": "2"})
    with pytest.raises(SettingsError, match="the rule of exact_match changed since"), open_run(settings, ruled):
        pass
    longer = replace(problem, workload=replace(problem.workload, text_tokens=99))
    with (
        pytest.raises(SettingsError, match="the FLOPs of the dense model must be those stored"),
        open_run(settings, longer),
    ):
        pass


class TalkingWorker(PretendWorker):
    """Its trials say the same three answers to the questions of a rung, with the scores of some rule."""

    def __init__(self, said: tuple[str, str, str], right: tuple[float, float, float], kept: bool = True) -> None:
        super().__init__()
        self.said, self.right, self.kept = said, right, kept

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        for report in super().rungs(request):
            asked = [
                QuestionRecord(id=f"search-{n}", image=str(n), kind="all", question="what ?", accepted=("yes",))
                for n in range(3)
            ]
            answers = {"asked": asked if request.plan.is_dense else None, "answers": self.said if self.kept else ()}
            yield report.model_copy(update={"scores": self.right, "questions": 3, **answers})


@pytest.mark.parametrize(
    ("worker", "resumes"),
    [
        (TalkingWorker(("yes", "no", "red"), (1, 0, 0)), True),  # either rule scores these so
        (TalkingWorker(("Yes.", "no", "red"), (1, 0, 0)), True),  # the rule of today, before its mark was stored
        (TalkingWorker(("Yes.", "no", "red"), (0, 0, 0)), False),  # the rule of before
        (TalkingWorker(("yes", "no", "red"), (1, 0, 0), kept=False), False),  # a version that kept no answers
    ],
)
@pytest.mark.parametrize("before", [{}, {"rule of exact_match": "2"}])
def test_a_run_of_another_rule_is_resumed_if_its_answers_score_the_same(
    tmp_path: Path, worker: TalkingWorker, resumes: bool, before: dict[str, str]
) -> None:
    settings = settings_in(tmp_path / "run", budget=3, strategy="random")
    problem = problem_of(settings)
    search(settings, worker, replace(problem, fingerprints={**problem.fingerprints, **before}))
    ruled = replace(problem, fingerprints={**problem.fingerprints, "rule of exact_match": "3"})
    expected = nullcontext() if resumes else pytest.raises(SettingsError, match="the rule of exact_match changed")
    with expected, open_run(settings, ruled):
        pass


def test_folders_of_one_name_are_runs_of_their_own(settings: Settings, tmp_path: Path) -> None:
    search(settings)
    other = settings.model_copy(update={"out": tmp_path / "elsewhere" / "run", "seed": 5, "budget": 4})
    search(other)
    assert number_of_trials(settings) == 6
    assert number_of_trials(other) == 4


def test_a_run_whose_database_is_not_the_one_that_is_named_is_refused(settings: Settings, tmp_path: Path) -> None:
    search(settings)
    wrong = settings.model_copy(update={"storage": url_text(sqlite_url(tmp_path / "wrong.db"))})
    with (
        pytest.raises(StorageError, match="name the database of the run with --storage"),
        open_run(wrong, problem_of(wrong)),
    ):
        pass


@pytest.mark.parametrize("gone", ["folder", "search.db", "search.db-wal"])
def test_files_that_are_deleted_under_a_search_are_noticed_at_the_next_write(tmp_path: Path, gone: str) -> None:
    settings = settings_in(tmp_path / "run", budget=6, strategy="random")
    with pytest.raises(FilesGoneError, match="was deleted or replaced"), open_run(settings, problem_of(settings)) as it:
        it.next()
        if gone == "folder":
            settings.run_folder.rename(tmp_path / "away")
        else:
            (settings.run_folder / gone).unlink()
        it.next()
