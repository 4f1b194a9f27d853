"""Image folders, and folders of tables: which file describes which image, and what belongs to which split."""

import json

import pytest

from tests.workers.data.small_sets import png, read_search
from tests.workers.tiny import picture
from workers.data.read_table import read_split
from workers.sources import DataSource

ROW = {"question": "?", "answer": "0042"}
CSV = "file_name,question,answer\n0.png,?,0042\n"


def save(folder, files):
    """Write files: an image by its number, a row as JSON, text as it is."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        data = png(content) if isinstance(content, int) else content
        (folder / name).write_bytes(
            data if isinstance(data, bytes) else (data if isinstance(data, str) else json.dumps(data)).encode()
        )
    return folder


def test_a_card_changes_no_value(tmp_path):
    """The `datasets` library, which reads folders with a card, would infer numbers."""
    files = {
        f"{split}/{name}": content
        for split in ("train", "validation")
        for name, content in (("0.png", 0), ("metadata.csv", CSV))
    }
    (sample,) = read_search(save(tmp_path, {**files, "README.md": "# card"})).samples
    assert sample.answers == ("0042",)


def test_one_file_for_folders_that_are_splits(tmp_path):
    rows = [{"file_name": f"{split}/0.png", **ROW} for split in ("train", "validation", "test")]
    images = {row["file_name"]: number for number, row in enumerate(rows)}
    save(tmp_path, {**images, "metadata.jsonl": "\n".join(map(json.dumps, rows))})
    for number, split in ((1, "search"), (2, "test")):
        (sample,) = read_split(DataSource(name=str(tmp_path)), split).samples
        assert sample.image.tobytes() == picture(number).tobytes()


def test_a_row_without_an_image_is_not_dropped_without_a_word(tmp_path):
    rows = [{"file_name": name, **ROW} for name in ("train/0.png", "validation/1.png", "")]
    save(tmp_path, {"train/0.png": 0, "validation/1.png": 1, "metadata.jsonl": "\n".join(map(json.dumps, rows))})
    with pytest.raises(ValueError, match=r"1 of 2 rows of 'search'.* have no readable image"):
        read_search(tmp_path)


def test_several_images_of_a_row(tmp_path):
    row = {"file_names": ["1.png", "0.png"], **ROW}
    files = {
        f"{split}/{name}": each
        for split in ("train", "validation")
        for name, each in (("0.png", 0), ("1.png", 1), ("metadata.jsonl", row))
    }
    (sample,) = read_search(save(tmp_path, files)).samples
    assert [image.tobytes() for image in sample.images] == [picture(1).tobytes(), picture(0).tobytes()]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"metadata.csv": CSV, "metadata.jsonl": {"file_name": "0.png", **ROW}},
            "must have one metadata file, got several",
        ),
        ({"metadata.csv": CSV, "train/metadata.csv": CSV}, "one metadata file, or one for every split, got both"),
        (
            {"train.csv": "image,question,answer\n0.png,?,1\n", "train.jsonl": {"image": "0.png", **ROW}},
            "one suffix, got train.csv, train.jsonl",
        ),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(tmp_path, files, said):
    with pytest.raises(ValueError, match=said) as refusal:
        read_search(save(tmp_path, {"0.png": 0, **files}))
    assert "\n" not in str(refusal.value)


def test_a_card_may_assign_files_to_splits(tmp_path):
    parts = "".join(
        f"  - split: {split}\n    path: {name}.jsonl\n" for split, name in (("train", "b"), ("validation", "a"))
    )
    card = f"---\nconfigs:\n- config_name: default\n  data_files:\n{parts}---\n"
    files = {f"{name}.jsonl": {"image": f"{number}.png", **ROW} for number, name in enumerate("ab")}
    (sample,) = read_search(save(tmp_path, {"0.png": 0, "1.png": 1, "README.md": card, **files})).samples
    assert sample.image.tobytes() == picture(0).tobytes()


@pytest.mark.parametrize("table", ["{}/a.jsonl", "annotations/{}.jsonl", "data/{}-00000-of-00001.jsonl"])
def test_tables_in_folders_beside_many_images(tmp_path, table):
    files = {
        table.format(split): {"image": f"images/{number}.png", **ROW}
        for number, split in enumerate(("train", "validation"))
    }
    (sample,) = read_search(
        save(tmp_path, {**{f"images/{number}.png": number for number in range(6)}, **files})
    ).samples
    assert sample.image.tobytes() == picture(1).tobytes()


def test_a_column_with_a_dot_in_its_name(tmp_path):
    """As webdataset names the members of a sample."""
    row = {"image": "0.png", "question.txt": "?", "answer.txt": "red"}
    save(tmp_path, {"0.png": 0, "train.jsonl": row, "validation.jsonl": row})
    (sample,) = read_search(tmp_path, question_column="question.txt", answer_column="answer.txt").samples
    assert (sample.question, sample.answers) == ("?", ("red",))
