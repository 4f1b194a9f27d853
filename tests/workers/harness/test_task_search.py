"""Searches on a task of lmms-eval score every question as lmms-eval does; `make lmms` installs it and runs this."""

import pytest

pytest.importorskip("lmms_eval", reason="lmms-eval is not installed: make lmms")

from search import run as search
from tests.workers.harness.digits_task import CHOOSES, GENERATES, samples, write_task
from tests.workers.harness.test_lmms_model import run
from workers.data.harness_task import open_task, read_task
from workers.data.load_split import load_samples
from workers.sources import DataSource

ROWS = 96
SPLITS = ("train", "tune", "search", "test")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    write_task(folder, samples(ROWS), "digits", **GENERATES)
    write_task(folder, samples(8), "chooses", **CHOOSES)
    warm = {**GENERATES, "generation_kwargs": {"temperature": 0.7}}
    write_task(folder, samples(8), "samples", **warm)
    write_task(folder, samples(8), "lowest", **{**GENERATES, "metric_list": [
        {"metric": "exact_match", "aggregation": "mean", "higher_is_better": False}]})  # fmt: skip
    return folder


def source(tasks, name="digits", **settings):
    return DataSource(task=name, task_folder=str(tasks), **settings)


def test_the_splits_share_out_the_rows_and_no_image_is_in_two(tasks):
    parts = [load_samples(source(tasks), split) for split in SPLITS]
    expected = sorted((each.question, each.answers) for each in samples(ROWS))
    assert sorted((each.question, each.answers) for part in parts for each in part) == expected
    images = [{each.image_id for each in part} for part in parts]
    assert sum(map(len, images)) == len(set.union(*images)) == ROWS // 8
    assert len(read_task(source(tasks, limit=3), "train").samples) == 3


def test_a_search_scores_each_question_as_lmms_eval_does(tasks, tmp_path):
    found = search(
        task="digits", task_folder=str(tasks), out=tmp_path / "run", budget=4, rungs="0:all", space="layers",
        device="cpu", threads=1, final_seeds=1,
    )  # fmt: skip
    chosen = load_samples(source(tasks), "search")
    place = {(each.image.tobytes(), each.question): index for index, each in enumerate(samples(ROWS))}
    rows = [place[each.image.tobytes(), each.question] for each in chosen]
    answered = [found.samples(number).query("split == 'search'") for number in found.trials["trial"]]
    mine = next(frame for frame in answered if 0 < sum(frame["score"]) < len(frame))
    logged = run(tasks, "skipsearch", f"base=embedded,plan={mine['plan'].iloc[0]},dtype=float32")[2]
    assert [logged[row]["exact_match"] for row in rows] == list(mine["score"])
    assert [logged[row]["filtered_resps"][0].strip() for row in rows] == list(mine["answer"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digit", r"unknown task of lmms-eval 'digit' \(did you mean 'digits'\?\)"),
        ("chooses", "must have generated answers, got 'chooses'"),
        ("samples", "must have greedy answers, got 'samples'"),
        ("lowest", "a mean over questions, higher is better, got 'lowest'"),
    ],
)
def test_tasks_that_do_not_fit_are_refused(tasks, name, message):
    with pytest.raises(ValueError, match=message) as error:
        open_task(name, str(tasks))
    assert "\n" not in str(error.value)
