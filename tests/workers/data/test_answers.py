"""Answers as their file has them, whatever the types of a reader would make of them."""

import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from objectives.metrics import scores
from tests.workers.data.small_sets import png, read_search, save_rows, search_samples
from workers.data.answers import accepted, text_of


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("3", "3"),
        ("2.5", "2.5"),
        ("2.50", "2.50"),
        ("3.0", "3.0"),
        ("1e5", "1e5"),
        ("-0", "-0"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("true", "true"),
        ("false", "false"),
        ('"2015-06-01"', "2015-06-01"),
        ('"0042"', "0042"),
        ('"NA"', "NA"),
        ('"null"', "null"),
        ('"None"', "None"),
        ('" a  b "', " a  b "),
        ('"\\u00e9\\u2028x"', "\u00e9\u2028x"),
        ('["yes", "yes", 3]', "yes"),
    ],
)
def test_json_lines_say_what_is_written(tmp_path, written, text):
    """Beside 2.5, null and a text, of which a typed reader would make one type."""
    place = save_rows(tmp_path, [{"question": "?", "answer": "x"}])
    lines = [f'{{"image": "im/0.png", "question": "?", "answer": {each}}}\n' for each in (written, "2.5", '"x"')]
    (place / "validation.jsonl").write_text("".join(lines), "utf-8")
    assert [sample.answers[0] for sample in read_search(place).samples] == [text, "2.5", "x"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_is_text(tmp_path, delimiter):
    place = save_rows(tmp_path, [{"question": "?", "answer": "x"}])
    said = ["0042", "3.0", "2015-06-01", "NA", "None", "true", "1e3", 'say "hi"', "a\nb"]
    quoted = ['"' + text.replace('"', '""') + '"' for text in said]
    lines = [delimiter.join(["image", "question", "answer"])]
    lines += [delimiter.join(["im/1.png", "?", text]) for text in quoted]
    for split in ("train", "validation"):
        (place / f"{split}.jsonl").unlink()
        (place / f"{split}.csv").write_text("\n".join(lines) + "\n", "utf-8")
    assert [sample.answers for sample in read_search(place).samples] == [(text,) for text in said]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pa.array([3.0, 2.5]), ["3", "2.5"]),
        (pa.array([datetime.date(2015, 6, 1)] * 2), ["2015-06-01"] * 2),
        (pa.array([datetime.datetime(2015, 6, 1)] * 2), ["2015-06-01"] * 2),
        (pa.array([datetime.datetime(2015, 6, 1, 12, 30)] * 2), ["2015-06-01 12:30:00"] * 2),
        (pa.array([Decimal("2.50")] * 2), ["2.50"] * 2),
        (pa.array(["0042", "NA"]), ["0042", "NA"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array([7, 0]), ["7", "0"]),
    ],
)
def test_parquet_with_types(tmp_path, values, texts):
    table = pa.table({"image": [png(0), png(1)], "question": ["?", "?"], "answer": values})
    for split in ("train", "validation"):
        pq.write_table(table, tmp_path / f"{split}.parquet")
    assert [sample.answers[0] for sample in read_search(tmp_path).samples] == texts


@pytest.mark.parametrize(
    ("value", "answers"),
    [
        ("red", ("red",)),
        ([{"answer": "no"}, {"answer": "yes"}, {"answer": "yes"}], ("yes", "yes", "no")),
        ({"text": ["a", "b"]}, ("a", "b")),
        (["a", "b", "b"], ("b", "b", "a")),
        (["", None, "a"], ("a",)),
        (float("nan"), ()),
        ("  ", ()),
        (["yes"] + [""] * 9, ("yes",)),  # padding
        ("['net', 'mesh', 'mesh']", ("mesh", "mesh", "net")),  # as pandas writes lists into CSV
        ('["net",\n "it\'s"]', ("net", "it's")),
        ("[{'answer': 'net', 'answer_id': 1}]", ("net",)),
        ("[1]", ("[1]",)),
        ("[0, 1)", ("[0, 1)",)),
        ([{"answer": "mesh", "count": 1}, {"answer": "net", "count": 2}], ("net", "net", "mesh")),
        ({"answer": ["mesh", "net"], "count": [1, 2]}, ("net", "net", "mesh")),
        ([{"answer": "mesh", "votes": 0}, {"answer": "net", "votes": 1}], ("net",)),
        ([{"answer": "mesh", "count": None}, {"answer": "net", "count": None}], ("mesh", "net")),
    ],
)
def test_accepted_answers(value, answers):
    assert accepted(value) == answers


def test_a_person_who_left_a_blank_counts():
    """VQA accuracy leaves out one of ten people at a time, not of nine."""
    assert accepted(["yes"] * 2 + ["no"] * 7 + [""]) == ("no",) * 7 + ("yes",) * 2 + ("",)


@pytest.mark.parametrize(("metric", "score"), [("vqa", 0.3), ("exact_match", 0.0), ("anls", 0.0)])
def test_a_blank_of_one_person_makes_no_empty_answer_right(metric, score):
    """One of ten people is worth 0.3 by VQA accuracy: (1 * 0 + 9 * 1/3) / 10."""
    people = accepted(["yes"] * 2 + ["no"] * 7 + [""])
    assert scores(metric, [""], [people]) == pytest.approx([score])


@pytest.mark.parametrize("count", [-1, 0.5, "many", 10**9, [1, 2], {}])
def test_counts_that_are_no_numbers_of_people_are_refused(count):
    with pytest.raises(ValueError, match="one whole number from 0 to 1000"):
        accepted([{"answer": "net", "count": count}])


@pytest.mark.parametrize(
    "value",
    ["['net' 'mesh']", "array(['net'], dtype=object)", "['net', ", "['net',]]", "['a', nan]", f"['{'x' * 200_000}']"],
)
def test_lists_as_text_that_have_no_one_reading_are_refused(value):
    if value.endswith(("]", ")")):
        with pytest.raises(ValueError, match="a list of answers as text must be in JSON") as caught:
            accepted(value)
        assert len(str(caught.value)) < 200
    else:
        assert accepted(value) == (value,)


@pytest.mark.parametrize("value", [b"red", {"de": "rot"}, [[[[[[[[[["deep"]]]]]]]]]], "\ud800", [{"x": 1}]])
def test_what_is_no_answer_is_refused(value):
    with pytest.raises(ValueError) as caught:
        accepted(value)
    assert len(str(caught.value)) < 200


def test_a_number_as_text_is_python_s_own():
    assert [text_of(each) for each in (0.1, 1e22, -0.5, 10**18)] == ["0.1", str(10**22), "-0.5", str(10**18)]


class TestQuestions:
    @pytest.mark.parametrize(
        ("question", "said"),
        [
            ({"de": "welche Farbe?", "en": "what color?"}, "got a record in column 'question': .*question.de"),
            (["what is it?", "and now?"], "column 'question' can't be used .*list"),
            (None, "a question must be a text, got None in column 'question'"),
            ("", "a question must be a text, got ''"),
            ("  ", "a question must be a text"),
            ([], "column 'question' can't be used"),
            ({}, "column 'question' can't be used"),
            ("\ud800", "unpaired surrogate"),
        ],
    )
    def test_what_is_no_text_is_refused_by_row_and_column(self, tmp_path, question, said):
        rows = [{"question": "what?", "answer": "red"}, {"question": question, "answer": "red"}]
        with pytest.raises(ValueError, match=f"{said}.* row 1 of 'search'") as caught:
            search_samples(tmp_path, rows)
        assert "\n" not in str(caught.value)

    def test_a_text_within_a_record_can_be_named(self, tmp_path):
        rows = [{"query": {"de": "welche Farbe?", "en": "what color?"}, "answer": {"en": {"text": "red"}}}]
        (sample,) = search_samples(tmp_path, rows, question_column="query.en", answer_column="answer.en")
        assert (sample.question, sample.answers) == ("what color?", ("red",))

    def test_a_text_is_put_as_it_is(self, tmp_path):
        asked = [' {question} "a",\t{choices}\n é <image> ', "5", "[1]", "nan"]
        got = search_samples(tmp_path, [{"question": each, "answer": "x"} for each in asked])
        assert [sample.question for sample in got] == asked
