"""Samples of a task of lmms-eval, without lmms-eval: settings, and scores of the task. `make lmms` tests the rest."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from search.settings import Settings
from tests.workers.tiny import tiny_samples
from workers.data.load_split import load_samples
from workers.data.pick_metric import pick_metric
from workers.data.sample import SplitData
from workers.evaluation.evaluate import evaluate
from workers.evaluation.floor import best_constant
from workers.inference.prepare import prepare
from workers.models.loaded_model import longest_answer
from workers.sources import DataSource


def of_task(number=8):
    """Samples whose task scores an answer by its length, which no metric of ours does."""
    chosen = tiny_samples("search")[:number]
    return [replace(each, score=lambda text: min(1.0, len(text) / 10), max_new_tokens=3) for each in chosen]


def test_a_data_set_is_named_after_its_task_and_survives_storing():
    source = DataSource(task="gqa", limit=5)
    assert source.name == "lmms-eval:gqa"
    assert DataSource.model_validate_json(source.model_dump_json()) == source
    assert Settings.model_validate({"dataset": {"task": "gqa"}}).identity()["dataset"]["name"] == "lmms-eval:gqa"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": "gqa", "name": "embedded"}, "--task and --dataset exclude each other, got gqa and embedded"),
        ({"task": "gqa", "question_column": "q"}, "got --question-column with --task: leave --question-column out"),
        ({"task_folder": "tasks"}, "--task-folder needs --task, got 'tasks' alone"),
    ],
)
def test_what_a_task_brings_is_not_given_twice(given, message):
    with pytest.raises(ValidationError, match=message):
        DataSource.model_validate(given)


def test_without_lmms_eval_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr("workers.data.harness_task.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--task needs the package lmms-eval: pip install 'skipsearch\[lmms\]'"):
        load_samples(DataSource(task="gqa"), "search")


def test_the_metric_of_a_task_is_its_own():
    assert pick_metric(SplitData(tuple(of_task())), None) == "task"
    assert pick_metric(SplitData(tuple(of_task())), "anls") == "anls"
    with pytest.raises(ValueError, match="the metric task needs a task of lmms-eval: give --task"):
        pick_metric(SplitData(tuple(tiny_samples("search")[:8])), "task")


def test_answers_and_constants_are_scored_by_the_task(loaded):
    samples = of_task()
    result = evaluate(loaded, prepare(loaded, samples), "task")
    assert result.scores == tuple(min(1.0, len(text) / 10) for text in result.answers)
    assert len(set(result.answers)) > 1
    longest = max((answer for each in samples for answer in each.answers), key=len)
    assert best_constant(samples, "task") == (longest, min(1.0, len(longest) / 10))


def test_generation_stops_where_the_task_says(loaded):
    assert longest_answer(loaded, of_task()) == 3 != longest_answer(loaded, tiny_samples("search")[:8])
