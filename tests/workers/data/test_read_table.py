"""Data sets of the user's own: read from a folder, split by image, or refused in one line."""

import json
import subprocess
import sys

import datasets
import pytest

from spaces.plan import Plan
from tests.workers.saved_data import as_table, from_the_hub, questions, save
from tests.workers.tiny import picture
from workers.data.images import decoded
from workers.data.load_split import load_samples, load_split
from workers.models.prompt_forms import target
from workers.reports import TrialState
from workers.requests import Rung, TrialRequest
from workers.sources import DataSource
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


def read(name, split, limit=None, **told):
    return load_samples(DataSource(name=name, **told), split, limit)


def ids(name, split):
    return {sample.image_id for sample in read(name, split)}


def test_a_sample(tmp_path):
    name = saved(tmp_path / "set", train=rows(3, kind="color"), tune=rows(2, 50), search=rows(2, 60), test=rows(2, 70))
    samples = read(name, "search")
    assert [sample.question for sample in samples] == [f"question {number}" for number in range(4)]
    assert samples[0].image_id == samples[1].image_id != samples[2].image_id
    assert samples[0].image.tobytes() == picture(60).tobytes()
    assert (samples[0].answers, samples[0].kind) == (("yes",), "all")
    assert read(name, "train")[0].kind == "color"
    assert len(read(name, "train", 5)) == 5


def test_missing_splits_are_carved_by_image(tmp_path):
    name = saved(tmp_path / "set", train=rows(60))
    parts = {split: ids(name, split) for split in ("train", "tune", "search", "test")}
    assert sum(map(len, parts.values())) == len(set.union(*parts.values())) == 60, "no image is in two splits"
    assert len(parts["train"]) > len(parts["search"]) > 0 < len(parts["tune"])
    assert sum(len(read(name, split)) for split in parts) == 120


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
    (sample, _) = read(name, "search")
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
        read(name, "search")
    assert "\n" not in str(caught.value)


def test_no_training_rows(tmp_path):
    with pytest.raises(ValueError, match="must have a train split"):
        read(saved(tmp_path / "set", validation=rows(2), test=rows(2)), "search")
    with pytest.raises(ValueError, match="the split 'tune' must have at least one image"):
        read(saved(tmp_path / "few", train=rows(1), search=rows(1)), "tune")


@pytest.mark.parametrize("name", ["no/such-data", "./nothing/here", "embeded"])
def test_what_cannot_be_found(name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError) as caught:
        read(name, "search")
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
    code = (
        "import sys; from workers.requests import DataSource; from workers.data.load_split import load_split; "
        f"load_split(DataSource(name={name!r}), 'search'); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_same_split_every_time_whatever_else_is_read(tmp_path):
    """The split of a row depends on its image only, not on limits, the other rows or their order."""
    few, many = questions(40), [*questions(60, 500), *reversed(questions(40))]
    for name, content in (("few", few), ("many", many)):
        save("parquet", tmp_path / name, {"train": content})
    for split in ("tune", "search", "test"):
        own = {s.image.tobytes() for s in read(str(tmp_path / "few"), split)}
        assert own <= {s.image.tobytes() for s in read(str(tmp_path / "many"), split)}
        assert own.isdisjoint(s.image.tobytes() for s in read(str(tmp_path / "many"), "train"))
    limited = load_split(DataSource(name=str(tmp_path / "few"), max_eval=3), "search").samples
    assert [s.question for s in limited] == [s.question for s in read(str(tmp_path / "few"), "search")[:3]]


class TestUnreadableImages:
    """Skipped up to a stated share, counted and said; above it refused."""

    @pytest.fixture
    def folder(self, tmp_path):
        """Twenty rows of which two have no image: one is no image file, one is cut off."""
        save("json_lines", tmp_path / "set", {"train": questions(4), "test": questions(20, 100, per_image=1)})
        images = tmp_path / "set" / "images"
        (images / "103.png").write_bytes(b"no image")
        (images / "107.png").write_bytes((images / "107.png").read_bytes()[:200])
        return tmp_path / "set"

    def test_skipped_and_said(self, folder, caplog):
        data = load_split(DataSource(name=str(folder), max_unreadable=0.1), "test")
        assert (data.rows, data.skipped, len(data.samples)) == (20, 2, 18)
        assert [s.image.tobytes() for s in data.samples[2:4]] == [picture(102).tobytes(), picture(104).tobytes()]
        (line,) = caplog.messages
        assert line.startswith("2 of 20 rows of 'test'")
        assert "the first: not an image file" in line

    def test_refused_above_the_share(self, folder):
        with pytest.raises(ValueError, match=r"at most 0.09 .* 2 of 20 rows of 'test' .* --max-unreadable") as caught:
            read(str(folder), "test", max_unreadable=0.09)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("cell", [None, [], "missing.png", {"bytes": None, "path": None}])
    def test_a_row_without_an_image_counts(self, tmp_path, monkeypatch, cell):
        good = [{**row, "image": str(tmp_path / "one.png")} for row in questions(2)]
        picture(1).save(tmp_path / "one.png")
        table = Table([*good, {**questions(1)[0], "image": cell}])
        from_the_hub(monkeypatch, {"train": table, f"test {cell}": table})
        data = load_split(
            DataSource(
                name=f"some/{cell}".replace(".", ""), max_unreadable=0.5, test_split=f"test {cell}", allow_outside=True
            ),
            "test",
        )
        assert (data.rows, data.skipped) == (5, 1)

    def test_images_are_read_upright(self, tmp_path):
        """A camera that was held sideways says so in its file (EXIF orientation 6: turn by 90 degrees)."""
        wide = picture(1).resize((8, 4))
        exif = wide.getexif()
        exif[0x0112] = 6
        wide.save(tmp_path / "wide.png", exif=exif)
        image = decoded((tmp_path / "wide.png").read_bytes())
        assert image.size == (4, 8)
        assert image.tobytes() == wide.rotate(-90, expand=True).tobytes()

    def test_a_list_of_one_image_is_that_image(self, tmp_path):
        table = datasets.Dataset.from_dict({"images": [[picture(1)]], "question": ["?"], "answer": ["a"]})
        table = table.cast_column("images", datasets.List(datasets.Image()))
        assert read(saved(tmp_path / "set", train=table, test=table), "test")[0].image.tobytes() == picture(1).tobytes()


class Table(list):
    """Rows that no file format can hold, with the interface of a table."""

    @property
    def features(self):
        return dict.fromkeys(self[0])

    def select_columns(self, names):
        return self


class TestSplits:
    @pytest.fixture
    def name(self, tmp_path):
        return saved(tmp_path / "set", train=rows(30), validation=rows(3, 100), test=rows(2, 200), extra=rows(4, 300))

    def test_told(self, name):
        assert read(name, "search", search_split="extra")[0].image.tobytes() == picture(300).tobytes()
        assert len(read(name, "train", train_split="validation", search_split="extra", tune_split="train")) == 6

    def test_a_split_that_trains_is_not_searched_on(self, tmp_path):
        name = saved(tmp_path / "set", train=rows(3), validation=rows(60, 100))
        train, search = (
            {s.image_id for s in read(name, split, train_split="validation", tune_split="train")}
            for split in ("train", "search")
        )
        assert train and search and not train & search

    @pytest.mark.parametrize(
        ("told", "complaint"),
        [
            ({"search_split": "validaton"}, "did you mean 'validation'"),
            ({"test_split": "nothing"}, "known are train, validation, test, extra; set --test-split"),
            ({"search_split": "test", "test_split": "test"}, "all splits must be different, got test, test"),
        ],
    )
    def test_wrong_names_are_one_line(self, name, told, complaint):
        with pytest.raises(ValueError) as caught:
            read(name, "search", **told)
        assert complaint in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_an_empty_split(self, monkeypatch):
        table = as_table(questions(3))
        from_the_hub(monkeypatch, {"train": table, "test": table.select([])})
        with pytest.raises(ValueError, match="the split 'test' must have at least one image"):
            read("some/empty", "test")
