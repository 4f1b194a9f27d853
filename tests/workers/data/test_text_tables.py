"""Single files, encodings, limits, and files that are not what their names say."""

import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.workers.data.small_sets import png, read_search, save_rows
from workers.data.load_split import load_split
from workers.sources import DataSource

ROWS = [{"image": f"im/{n}.png", "question": f"q{n}", "answer": "x"} for n in range(60)]


@pytest.fixture
def place(tmp_path):
    save_rows(tmp_path, [{"question": "?", "answer": "x"}])
    for number in range(len(ROWS)):
        (tmp_path / f"im/{number}.png").write_bytes(png(number))
    return tmp_path


def one_file(place, form):
    file = place / f"vqa.{form}"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), file)
    elif form == "csv":
        file.write_text("image,question,answer\n" + "".join(",".join(row.values()) + "\n" for row in ROWS))
    elif form == "json":
        file.write_text(json.dumps(ROWS))
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file


@pytest.mark.parametrize("form", ["parquet", "csv", "json", "jsonl"])
def test_a_single_file(place, form, monkeypatch):
    """Its splits are carved by image; a name without a folder is a file too."""
    source = DataSource(name=str(one_file(place, form)))
    parts = {split: load_split(source, split).samples for split in ("train", "search", "test")}
    asked = [sample.question for samples in parts.values() for sample in samples]
    assert len(asked) == len(set(asked)) and set(asked) <= {row["question"] for row in ROWS}
    monkeypatch.chdir(place)
    assert load_split(DataSource(name=f"vqa.{form}"), "train").samples == parts["train"]


@pytest.mark.parametrize("held", ["list", "record", "lines"])
def test_json_in_its_forms(place, held):
    text = {
        "list": json.dumps(ROWS, indent=1),
        "record": json.dumps({"info": {"year": 2026}, "data": ROWS}),
        "lines": "\n".join(map(json.dumps, ROWS)),
    }[held]
    (place / "set.json").write_text(text)
    for split in ("train", "validation"):
        (place / f"{split}.jsonl").unlink()
    assert len(load_split(DataSource(name=str(place), max_train=9), "train").samples) == 9


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_encodings(place, encoding, ending):
    row = {"image": "im/1.png", "question": "Größe? 日本 \u2028 🙂", "answer": "é"}
    text = json.dumps(row, ensure_ascii=False) + ending + ending
    (place / "validation.jsonl").write_bytes(text.encode(encoding))
    (sample,) = read_search(place).samples
    assert (sample.question, sample.answers) == (row["question"], ("é",))


def test_a_limit_is_one_for_all_splits(place):
    source = DataSource(name=str(one_file(place, "jsonl")), limit=3)
    assert [load_split(source, split).rows for split in ("train", "search")] == [3, 3]
    assert DataSource(limit=3, max_train=2).most_rows("train") == 2
    assert [DataSource(limit=3).most_rows(split) for split in ("train", "tune", "search", "test")] == [3] * 4
    assert DataSource(limit=3, streaming=True).most_rows("search") == 3


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("validation.jsonl", b"[" * 100_000, "nested too deep"),
        ("validation.jsonl", b'{"question": ' * 50_000, "nested too deep"),
        ("validation.jsonl", b'{"question": "a"', "line 1"),
        ("validation.jsonl", b'{"question": "a"}\n[1]\n', "no record"),
        ("validation.jsonl", b"\xff\x80\xfa{}", "UTF-8"),
        ("validation.json", b"[1, 2]", "no record"),
        ("validation.json", b"[[[[", "the file"),
        ("validation.csv", b"image,question,question\na,b,c\n", "columns of the same name"),
        ("validation.csv", b"image,question,answer\na,b\n", "other cells"),
        ("validation.csv", b'image,question,answer\na,b,"c\n', "has not"),
        ("validation.jsonl", b"9" * 10_000, "no record"),
    ],
)
def test_files_that_are_not_what_their_names_say(place, name, content, said):
    for split in ("train", "validation"):
        (place / f"{split}.jsonl").unlink()
        (place / name.replace("validation", split)).write_bytes(content)
    began = time.perf_counter()
    with pytest.raises(ValueError, match=said) as caught:
        read_search(place)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_value_is_never_shown_longer_than_a_line(place, form):
    long = "x" * 1_000_000
    rows = [{"image": "im/1.png", "question": {"de": long}, "answer": long, "options": long}]
    (place / "validation.jsonl").unlink()
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), place / "validation.parquet")
        (place / "train.jsonl").unlink()
        pq.write_table(pa.Table.from_pylist(rows), place / "train.parquet")
    else:
        (place / "validation.jsonl").write_text(json.dumps(rows[0]))
    for told in ({}, {"question_column": "question.de"}, {"choices_column": "options"}, {"answer_column": long[:200]}):
        with pytest.raises(ValueError) as caught:
            read_search(place, **({"choices_column": "options"} | told))
        assert len(str(caught.value)) < 700


@pytest.mark.parametrize("name", ["x" * 5000, "a/" + "b" * 300, "a\nb", "/dev/zero", "/dev/null"])
def test_names_that_are_none(name):
    with pytest.raises(ValueError) as caught:
        load_split(DataSource(name=name), "search")
    assert "\n" not in str(caught.value).partition("[type=")[0].partition("Value error, ")[2]


def test_an_image_folder_keeps_what_is_written(tmp_path):
    for split in ("train", "validation"):
        (tmp_path / split / "sub").mkdir(parents=True)
        (tmp_path / split / "sub" / "1.png").write_bytes(png(1))
        (tmp_path / split / "metadata.csv").write_text("file_name,question,answer\nsub/1.png,?,0042\n")
    (sample,) = read_search(tmp_path).samples
    assert (sample.answers, sample.question) == (("0042",), "?")
