"""Data sets of the user's own: read from a folder, split by image, or refused in one line."""

import json
import subprocess
import sys

import datasets
import pytest

from spaces.plan import Plan
from tests.workers.tiny import picture
from workers.prompts import target
from workers.requests import DataSource, Rung, TrialRequest, TrialState
from workers.samples import load_samples
from workers.tables import table_samples
from workers.trial import Worker, run_trial


def rows(num_images, first=0, **columns):
    """Two questions on each image."""
    images = [picture(first + number // 2) for number in range(2 * num_images)]
    data = {
        "image": images,
        "question": [f"question {number}" for number in range(2 * num_images)],
        "answer": ["yes"] * (2 * num_images),
        **{name: [value] * (2 * num_images) for name, value in columns.items()},
    }
    data = {name: values for name, values in data.items() if values[0] is not None}
    table = datasets.Dataset.from_dict(data)
    return table.cast_column("image", datasets.Image()) if "image" in data else table


def saved(path, **splits):
    datasets.DatasetDict(splits).save_to_disk(str(path))
    return str(path)


def ids(name, split):
    return {sample.image_id for sample in table_samples(name, split)}


def test_a_sample(tmp_path):
    name = saved(tmp_path / "set", train=rows(3, kind="color"), tune=rows(2, 50), search=rows(2, 60), test=rows(2, 70))
    samples = load_samples(name, "search")
    assert [sample.question for sample in samples] == [f"question {number}" for number in range(4)]
    assert samples[0].image_id == samples[1].image_id != samples[2].image_id
    assert samples[0].image.tobytes() == picture(60).tobytes()
    assert (samples[0].answers, samples[0].kind) == (("yes",), "all")
    assert table_samples(name, "train")[0].kind == "color"
    assert len(load_samples(name, "train", 5)) == 5


def test_missing_splits_are_carved_by_image(tmp_path):
    name = saved(tmp_path / "set", train=rows(60))
    parts = {split: ids(name, split) for split in ("train", "tune", "search", "test")}
    assert sum(map(len, parts.values())) == len(set.union(*parts.values())) == 60, "no image is in two splits"
    assert len(parts["train"]) > len(parts["search"]) > 0 < len(parts["tune"])
    assert sum(len(table_samples(name, split)) for split in parts) == 120


def test_a_validation_split_is_searched_on(tmp_path):
    name = saved(tmp_path / "set", train=rows(60), validation=rows(5, 100), test=rows(5, 200))
    assert len(ids(name, "search")) == len(ids(name, "test")) == 5
    assert len(ids(name, "train")) + len(ids(name, "tune")) == 60


def test_a_single_table(tmp_path):
    rows(60).save_to_disk(str(tmp_path / "set"))
    assert 0 < len(ids(str(tmp_path / "set"), "search")) < 60


def test_a_plain_folder_of_files(tmp_path):
    rows(60).to_parquet(str(tmp_path / "train.parquet"))
    assert 0 < len(ids(str(tmp_path), "search")) < 60


@pytest.mark.parametrize(
    ("value", "answers"),
    [
        ("red", ("red",)),
        (3, ("3",)),
        (["a", "b", "b"], ("b", "b", "a")),
        ([{"answer": "no"}, {"answer": "yes"}, {"answer": "yes"}], ("yes", "yes", "no")),
    ],
)
def test_answers_of_every_form(tmp_path, value, answers):
    name = saved(tmp_path / "set", train=rows(1), search=rows(1, answer=None, answers=value))
    (sample, _) = table_samples(name, "search")
    assert sample.answers == answers
    assert target(sample) == answers[0]


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"image": None}, "must have a column of images"),
        ({"question": None}, "must have a column of question"),
        ({"answer": None}, "must have a column of answers"),
        ({"answer": None, "answers": []}, "must have an answer"),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path, columns, complaint):
    name = saved(tmp_path / "set", train=rows(30, **columns))
    with pytest.raises(ValueError, match=complaint) as caught:
        load_samples(name, "search")
    assert "\n" not in str(caught.value)


def test_no_training_rows(tmp_path):
    with pytest.raises(ValueError, match="must have a train split"):
        load_samples(saved(tmp_path / "set", validation=rows(2), test=rows(2)), "search")
    with pytest.raises(ValueError, match="the split 'tune' must have at least one image"):
        load_samples(saved(tmp_path / "few", train=rows(1), search=rows(1)), "tune")


@pytest.mark.parametrize("name", ["no/such-data", "./nothing/here", "embeded"])
def test_what_cannot_be_found(name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError) as caught:
        load_samples(name, "search")
    assert "\n" not in str(caught.value)


def test_a_trial_on_a_model_and_data_of_the_users_own(tmp_path, tiny_source):
    name = saved(tmp_path / "set", train=rows(40), validation=rows(4, 100))
    request = TrialRequest(
        plan=json.loads(Plan.parse("a..p").to_json()),
        model=tiny_source,
        data=DataSource(name=name, max_train=20, max_tune=6),
        rungs=(Rung(), Rung(tuning_steps=2)),
        metric="vqa",
    )
    worker = Worker()
    report = run_trial(worker, request, lambda rung: True)
    assert (report.state, report.reason) == (TrialState.COMPLETE, None)
    assert [rung.questions for rung in report.rungs] == [8, 8]
    assert [len(worker.session.split(split).items) for split in ("train", "tune")] == [20, 6]


def test_reading_imports_no_torch(tmp_path):
    name = saved(tmp_path / "set", train=rows(30))
    code = f"import sys; from workers.samples import load_samples; load_samples({name!r}, 'search'); " + (
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
