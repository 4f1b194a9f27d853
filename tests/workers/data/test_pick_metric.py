"""The metric of a data set: the requested one if it fits, else the usual one."""

import pytest

from tests.workers.saved_data import captions, choices, questions, save
from workers.data.load_split import load_split
from workers.data.pick_metric import pick_metric
from workers.data.sample import SplitData
from workers.sources import DataSource


def split(tmp_path, rows):
    return load_split(DataSource(name=save("save_to_disk", tmp_path / "set", {"train": rows, "test": rows})), "test")


def ten(number):
    return [{**row, "answers": ["red"] * 7 + ["blue"] * 3} for row in questions(number)]


@pytest.mark.parametrize(
    ("rows", "name"), [(questions, "exact_match"), (ten, "vqa"), (captions, "cider"), (choices, "choice")]
)
def test_the_usual_one(tmp_path, rows, name):
    data = split(tmp_path, rows(4))
    assert pick_metric(data, None) == name
    for other in ("loss", "anls", "exact_match"):
        assert pick_metric(data, other) == other


def test_choice_needs_choices(tmp_path):
    with pytest.raises(ValueError, match="the metric choice needs multiple-choice data, got captions"):
        pick_metric(split(tmp_path, captions(4)), "choice")


def test_cider_needs_a_corpus(tmp_path):
    data = split(tmp_path, captions(4))
    with pytest.raises(ValueError, match="at least 2 samples to compare, got 1"):
        pick_metric(SplitData(data.samples[:1], data.task), None)


@pytest.mark.parametrize("blanks", [1, 5, 200])
def test_blank_answers_do_not_change_the_usual_metric(tmp_path, blanks):
    """Two hundred questions with ten people's answers each, some of them blank."""
    rows = ten(100)
    for number in range(blanks):
        rows[number]["answers"] = [*rows[number]["answers"][:9], ""]
    assert pick_metric(split(tmp_path, rows), None) == "vqa"
