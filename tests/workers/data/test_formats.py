"""Every local format, read by guess and by flags, at once and streamed: the same samples."""

import json

import datasets
import pytest

from tests.workers.saved_data import FORMATS, as_table, captions, choices, from_the_hub, questions, save
from tests.workers.tiny import picture
from workers.data.load_split import load_split
from workers.sources import DataSource

TASKS = {"questions": questions, "captions": captions, "multiple choice": choices}


def content(data):
    return [(s.image.tobytes(), s.image_id, s.question, s.answers, s.kind, s.choices, data.task) for s in data.samples]


def splits(rows):
    return {"train": rows(40), "validation": rows(6, 100), "test": rows(5, 200)}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_samples(tmp_path, form, task):
    name = save(form, tmp_path / "set", splits(TASKS[task]))
    reference = save("save_to_disk", tmp_path / "reference", splits(TASKS[task]))
    for split in ("train", "tune", "search", "test"):
        # ids are hashes of files: the same picture must have the same id within a set only
        got = [row[:1] + row[2:] for row in content(load_split(DataSource(name=name), split))]
        want = [row[:1] + row[2:] for row in content(load_split(DataSource(name=reference), split))]
        assert got == want
    assert load_split(DataSource(name=name), "search").task == task
    assert load_split(DataSource(name=name), "test").samples[0].image.tobytes() == picture(200).tobytes()


@pytest.mark.parametrize("form", FORMATS)
def test_columns_and_splits_by_flags_equal_those_by_guess(tmp_path, form):
    guessed = save(form, tmp_path / "plain", splits(questions))
    renamed = {
        {"train": "part_a", "validation": "part_b", "test": "part_c"}[split]: [
            {"image": row["image"], "asked": row["question"], "said": row["answers"], "label": 7, "query": "no"}
            for row in rows
        ]
        for split, rows in splits(questions).items()
    }
    if form == "image_folder":  # the library knows its split names only
        renamed = dict(zip(("train", "validation", "test"), renamed.values(), strict=True))
    told = save(form, tmp_path / "told", renamed)
    names = dict(zip(("train_split", "search_split", "test_split"), renamed, strict=True))
    source = DataSource(name=told, question_column="asked", answer_column="said", image_column="image", **names)
    for split in ("train", "tune", "search", "test"):
        assert content(load_split(source, split)) == content(load_split(DataSource(name=guessed), split))
    assert load_split(source, "search").columns == {"image": "image", "question": "asked", "answers": "said"}


@pytest.mark.parametrize("form", FORMATS)
def test_streaming_equals_not_streaming(tmp_path, form):
    name = save(form, tmp_path / "set", splits(questions))
    limits = {"max_train": 20, "max_tune": 6, "max_eval": 4}
    for split in ("train", "tune", "search", "test"):
        whole = load_split(DataSource(name=name, **limits), split)
        assert content(whole) == content(load_split(DataSource(name=name, streaming=True, **limits), split))
        assert whole.rows <= limits.get(f"max_{split}", limits["max_eval"])
    assert load_split(DataSource(name=name, **limits), "train").rows == 20


def test_streaming_reads_no_more_than_the_limit(tmp_path, monkeypatch):
    """A hundred rows that are streamed one by one: the third is the last one that is read."""
    read = []

    def rows():
        for number, row in enumerate(questions(50)):
            read.append(number)
            yield {**row, "image": str(tmp_path / "one.png")}

    picture(1).save(tmp_path / "one.png")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "question": datasets.Value("string"),
            "answers": datasets.List(datasets.Value("string")),
        }
    )
    streamed = datasets.IterableDataset.from_generator(rows, features=features)
    from_the_hub(monkeypatch, datasets.IterableDatasetDict({"search": streamed, "train": streamed}))
    assert (
        load_split(DataSource(name="some/stream", streaming=True, max_eval=3, allow_outside=True), "search").rows == 3
    )
    assert max(read) == 2


def test_streaming_needs_an_end():
    with pytest.raises(ValueError, match="streaming needs a limit on rows, got no max_eval"):
        DataSource(name="a/b", streaming=True)


@pytest.mark.parametrize("names", [("train", "test"), ("data",), ("part_a", "part_b")])
def test_tables_beside_images_in_one_folder(tmp_path, names):
    """The library itself would take such a folder for images without questions."""
    for name in names:
        lines = [
            {"image": f"{row['image']}.png", "question": row["question"], "answer": "red"} for row in questions(30)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for number in range(30):
        picture(number).save(tmp_path / f"{number}.png")
    first = load_split(DataSource(name=str(tmp_path), train_split=names[0] if len(names) > 1 else None), "train")
    assert 0 < first.rows <= 60
    assert first.samples[0].answers == ("red",)


def test_a_configuration_is_read(tmp_path):
    for name, first in (("one", 0), ("two", 100)):
        as_table(questions(30, first)).to_parquet(str(tmp_path / name / "train.parquet"))
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n"
        + "".join(f"- config_name: {n}\n  data_files: {n}/train.parquet\n" for n in ("one", "two"))
        + "---\n"
    )
    pictures = [
        {row[0] for row in content(load_split(DataSource(name=str(tmp_path), config=name), "train"))}
        for name in ("one", "two")
    ]
    assert pictures[0] and pictures[1] and not pictures[0] & pictures[1]
    with pytest.raises(ValueError, match=r"Config name is missing|'threee' not found.*one.*two"):
        load_split(DataSource(name=str(tmp_path), config="threee"), "train")
