"""Class numbers are read as their names, wherever they stand; narrow floats as the number that was written."""

from typing import Any

import datasets
import pytest

from tests.workers.tiny import picture
from workers.data.read_table import read_split
from workers.data.sample import Sample
from workers.data.typed_values import with_typed_values
from workers.sources import DataSource

TEXT, ANIMALS = datasets.Value("string"), datasets.ClassLabel(names=["cat", "dog"])
TWO = {"choices": ["dog", "cat"]}


def first_of(folder: Any, row: dict[str, Any], features: dict[str, Any]) -> Sample:
    """The first sample of a saved table of ten rows, the last nine with the class numbers 0 and 1 exchanged."""
    other = {name: swapped(value) if holds_classes(features.get(name)) else value for name, value in row.items()}
    columns = {"image": [picture(n) for n in range(10)], "question": [f"q {n}" for n in range(10)]}
    table = datasets.Dataset.from_dict({**columns, **{name: [row[name]] + [other[name]] * 9 for name in row}})
    for name, feature in {"image": datasets.Image(), **features}.items():
        table = table.cast_column(name, feature)
    datasets.DatasetDict({"train": table, "validation": table}).save_to_disk(str(folder))
    return read_split(DataSource(name=str(folder)), "search").samples[0]


def swapped(value: Any) -> Any:
    return [1 - each for each in value] if isinstance(value, list) else 1 - value


def holds_classes(feature: Any) -> bool:
    return isinstance(getattr(feature, "feature", feature), datasets.ClassLabel)


@pytest.mark.parametrize(
    ("row", "features", "answers"),
    [
        ({"answer": 1}, {"answer": ANIMALS}, ("dog",)),
        ({"answers": [1, 0]}, {"answers": datasets.List(ANIMALS)}, ("dog", "cat")),
        ({**TWO, "answer": 0}, {"answer": ANIMALS}, ("B",)),  # cat, the second option
        ({**TWO, "answer": 0}, {"answer": datasets.ClassLabel(names=["B", "A"])}, ("B",)),
        ({**TWO, "answer": 1}, {"answer": datasets.ClassLabel(names=["0", "1"])}, ("B",)),
        ({"choices": [1, 0], "answer": "dog"}, {"choices": datasets.List(ANIMALS)}, ("A",)),
    ],
)
def test_answers_and_options(tmp_path, row, features, answers):
    assert first_of(tmp_path, row, features).answers == answers


def test_kinds(tmp_path):
    assert first_of(tmp_path, {"answer": "x", "kind": 1}, {"kind": ANIMALS}).kind == "dog"


def test_a_number_without_a_name_is_no_value():
    features = datasets.Features({"a": ANIMALS, "b": {"c": datasets.List(ANIMALS)}, "d": datasets.Value("float32")})
    rows = with_typed_values([{"a": -1, "b": {"c": [0, -1, 7, None]}, "d": 0.10000000149011612}], features)
    assert list(rows) == [{"a": None, "b": {"c": ["cat", None, None, None]}, "d": 0.1}]
