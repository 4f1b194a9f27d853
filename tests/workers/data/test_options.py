"""Options in every form, and one reading of the right option for a whole column."""

import logging
from string import ascii_uppercase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fast import draws
from tests.workers.data.small_sets import search_samples
from workers.data.options import find_reading, option_columns, options_of, place_of
from workers.sources import DataSource

DEEP = "[" * 5000


@pytest.mark.parametrize(
    ("value", "options"),
    [
        (["red", "blue"], ["red", "blue"]),
        (["red", "blue", None, ""], ["red", "blue"]),
        (["red", "blue", float("nan"), " "], ["red", "blue"]),
        ("['red', 'blue']", ["red", "blue"]),
        ('["red", "blue", null]', ["red", "blue"]),
        ({"B": "blue", "A": "red"}, ["red", "blue"]),
        ('{"a": "red", "b": "blue"}', ["red", "blue"]),
        ({"0": "red", "1": "blue"}, ["red", "blue"]),
        ({"text": ["red", "blue"], "label": ["A", "B"]}, ["red", "blue"]),
        ([3, 2.5], [3, 2.5]),
    ],
)
def test_options_of_every_form(value, options):
    assert options_of(value) == options


@pytest.mark.parametrize(
    "value",
    ["red", ["red"], None, "[", ["red", "", "blue"], ["red", None, "blue"], {"A": "red", "C": "blue"}, DEEP,
     ["red", None], {"left": "red", "right": "blue"}, [str(i) for i in range(27)], {}, 7],
)  # fmt: skip
def test_what_is_no_list_of_options(value):
    with pytest.raises(ValueError, match="choices must be a list of 2 to 26 texts") as caught:
        options_of(value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (("q", "A", "B", "C", "D", "answer"), ("A", "B", "C", "D")),
        (("a", "b"), ("a", "b")),
        (("choice_b", "choice_a"), ("choice_a", "choice_b")),
        (("option1", "option2", "option3"), ("option1", "option2", "option3")),
        (("Option 0", "Option 1"), ("Option 0", "Option 1")),
        (("option_A", "option_B"), ("option_A", "option_B")),
        (("A", "C"), ()),
        (("A", "b"), ()),
        (("option_1",), ()),
        (("answer_1", "answer_2", "page", "id"), ()),
    ],
)
def test_options_in_columns_of_their_own(names, columns):
    assert option_columns(names) == columns


def column(*rows):
    """The reading, and the places under it."""
    reading = find_reading(rows, "answer")
    return reading, [place_of(value, [str(each) for each in options], reading) for value, options in rows]


FOUR = ["cow", "cat", "dog", "hen"]


@pytest.mark.parametrize(
    ("rows", "reading", "places"),
    [
        ([("2", ["3", "2", "1", "4"]), ("2", FOUR), ("0", FOUR)], "index", [2, 2, 0]),
        ([(2, ["3", "2", "1", "4"]), (0, FOUR)], "index", [2, 0]),
        ([(2, ["3", "2", "1", "4"]), (1, ["1", "2"])], "index", [2, 1]),  # a number beside texts is no text
        ([(2.0, FOUR), (0.0, FOUR)], "index", [2, 0]),
        ([("4", FOUR), ("1", FOUR)], "index1", [3, 0]),
        ([("A", ["C", "A", "B", "D"]), ("B", FOUR)], "letter", [0, 1]),
        ([("(b)", FOUR), ("C.", FOUR), ("a", FOUR)], "letter", [1, 2, 0]),
        ([("B. cat", FOUR), ("D) hen", FOUR)], "letter", [1, 3]),
        ([("cat", FOUR), (" Hen ", FOUR)], "text", [1, 3]),
        ([("B", ["C", "B", "A"]), ("cat", FOUR)], "text", [1, 1]),
        ([("2", ["3", "2", "1", "4"]), ("7", ["5", "6", "7"])], "text", [1, 2]),
        ([(20, [10, 20, 30]), (10, [10, 20])], "text", [1, 0]),
        ([("A", ["A", "B", "C"]), ("C", ["A", "B", "C"])], "letter", [0, 2]),  # both readings agree
        ([(None, FOUR), (-1, FOUR), ("", FOUR), (3, FOUR), (0, FOUR)], "index", [None, None, None, 3, 0]),
    ],
)
def test_one_reading_for_the_whole_column(rows, reading, places):
    assert column(*rows) == (reading, places)


@pytest.mark.parametrize(
    "rows",
    [
        [("2", ["3", "2", "1", "4"])],
        [("A", ["C", "A", "B"]), ("B", ["B", "A"])],
        [("1", ["0", "1", "2"]), ("0", ["2", "1", "0"])],
        [(1, [3, 1]), (0, [1, 0])],
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(rows):
    with pytest.raises(ValueError, match=r"given in one way, got .* choose one with --answer-as"):
        column(*rows)


@pytest.mark.parametrize(
    ("rows", "row"),
    [
        ([("A", FOUR), ("B", FOUR), ("dog", FOUR)], 2),
        ([(0, FOUR), (9, FOUR), (1, FOUR)], 1),
        ([("E", FOUR)], 0),
        ([("cat", ["cat", "cat", "dog"]), ("dog", FOUR)], 0),
        ([("x" * 100_000, FOUR)], 0),
        ([(True, FOUR)], 0),
    ],
)
def test_a_row_that_does_not_fit_is_named(rows, row):
    with pytest.raises(ValueError, match=f"the answer must be one of the choices.* in row {row}") as caught:
        column(*rows)
    assert len(str(caught.value)) < 400


def test_an_index_without_a_zero_is_said(caplog):
    assert column(("1", FOUR), ("2", FOUR)) == ("index", [1, 2])
    assert "--answer-as index1" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        column((0, FOUR), (2, FOUR))
    assert not caplog.records


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["A. cat", "B. dog"], ["cat", "dog"]),
        (["(A) cat", "(B) dog", None], ["cat", "dog"]),
        (["(a)cat", "(b)dog"], ["cat", "dog"]),
        (["A: 3", " B: 4 "], ["3", "4"]),
        ("['A) cat', 'B) dog']", ["cat", "dog"]),
        (["1. Mai", "2. Mai"], ["1. Mai", "2. Mai"]),  # dates
        (["A. Lincoln", "T. Roosevelt"], ["A. Lincoln", "T. Roosevelt"]),
        (["A. cat", "dog"], ["A. cat", "dog"]),
        (["A.", "B."], ["A.", "B."]),
    ],
)
def test_letters_that_options_begin_with_are_no_part_of_them(options, texts):
    assert options_of(options) == texts


def test_letters_in_another_order_are_refused():
    with pytest.raises(ValueError, match=r"in the order of these, got \['B. cat', 'A. dog'\]"):
        options_of(["B. cat", "A. dog"])


TEXTS = st.sampled_from([*"ABCD", *"01234", "cow", "cat", "(a)", "B.", "2.0", "yes"])
OPTIONS = st.lists(TEXTS, min_size=2, max_size=5, unique_by=str.casefold)


@settings(max_examples=draws(300))
@given(
    sets=st.lists(st.tuples(OPTIONS, st.integers(0, 4)), min_size=1, max_size=6),
    kind=st.sampled_from(["index", "index as text", "letter", "(letter)", "text"]),
)
def test_right_or_refused(sets, kind):
    """With any labels of options, the right option is read, or the row is refused."""
    rows, meant = [], []
    for options, number in sets:
        place = number % len(options)
        forms = {"index": place, "index as text": str(place), "letter": ascii_uppercase[place], "text": options[place]}
        rows.append((f"({forms['letter']})" if kind == "(letter)" else forms[kind], options))
        meant.append(place)
    try:
        reading, places = column(*rows)
    except ValueError as error:
        assert "--answer-as" in str(error)
    else:
        assert places == meant, reading


class TestFromFiles:
    def test_padded_options_are_not_offered(self, tmp_path):
        rows = [
            {"question": "what color?", "options": ["red", "blue", None, ""], "answer": 0},
            {"question": "what color?", "options": ["red", "blue", "one", "two"], "answer": 3},
        ]
        first, second = search_samples(tmp_path, rows)
        assert (first.choices, first.answers, second.answers) == (("A", "B"), ("A",), ("D",))
        assert first.question.startswith("what color?\nA. red\nB. blue\nAnswer with")

    def test_columns_of_their_own_are_offered(self, tmp_path):
        rows = [{"question": "what?", "A": "cat", "B": "dog", "C": c, "answer": "B"} for c in ("cow", None)]
        first, second = search_samples(tmp_path, rows)
        assert first.question.startswith("what?\nA. cat\nB. dog\nC. cow\nAnswer")
        assert (first.answers, first.choices, second.choices) == (("B",), ("A", "B", "C"), ("A", "B"))

    def test_the_reading_is_that_of_all_splits(self, tmp_path):
        """Alone, the row of the search split is ambiguous."""
        train = [{"question": "?", "options": FOUR, "answer": "2"}]
        rows = [{"question": "how many?", "options": ["3", "2", "1", "4"], "answer": "2"}]
        (sample,) = search_samples(tmp_path, rows, train=train)
        assert sample.answers == ("C",)

    def test_it_can_be_told(self, tmp_path):
        rows = [{"question": "how many?", "options": ["3", "2", "1", "4"], "answer": "2"}]
        for told, letter in (("index", "C"), ("index1", "B"), ("text", "B")):
            (sample,) = search_samples(tmp_path / told, rows, answer_as=told)
            assert sample.answers == (letter,)

    def test_options_as_columns_can_be_named(self, tmp_path):
        rows = [{"question": "what?", "left": "cat", "right": "dog", "answer": "dog"}]
        (sample,) = search_samples(tmp_path, rows, choices_column="left,right", choices_as="text")
        assert (sample.choices, sample.answers) == (("cat", "dog"), ("dog",))


LABELLED = [
    ({"text": ["cat", "dog"], "label": ["A", "B"]}, "B", "dog"),
    ({"text": ["cat", "dog"], "label": ["B", "A"]}, "B", "cat"),
    ({"text": ["cat", "dog", ""], "label": ["1", "2", ""]}, "1", "cat"),
    ({"text": ["cat", "dog"], "label": ["0", "1"]}, 1, "dog"),
    ({"1": "cat", "2": "dog"}, 1, "cat"),
    ({"0": "cat", "1": "dog"}, 1, "dog"),
    ({"B": "cat", "A": "dog"}, "B", "cat"),
    ([{"label": "A", "text": "cat"}, {"label": "B", "text": "dog"}], "B", "dog"),
    ([{"key": "2", "text": "cat"}, {"key": "1", "text": "dog"}], "2", "cat"),
    ([{"text": "cat"}, {"text": "dog"}], "B", "dog"),
]


@pytest.mark.parametrize(("stored", "answer", "text"), LABELLED)
def test_the_labels_of_a_row_say_which_option_is_meant(tmp_path, stored, answer, text):
    rows = [{"question": "what?", "options": stored, "answer": answer}] * 2
    assert {each.answers for each in search_samples(tmp_path, rows, choices_as="text")} == {(text,)}


@pytest.mark.parametrize(
    ("stored", "answer"),
    [
        ({"text": ["cat", "dog"], "label": ["x", "y"]}, "x"),
        ({"text": ["cat", "dog"], "label": ["A", "A"]}, "A"),
        ({"1": "cat", "2": "dog"}, 0),
        ([{"label": "A", "words": "cat"}, {"label": "B", "words": "dog"}], "B"),
        ([["cat"], ["dog"]], "B"),
    ],
)
def test_labels_that_say_nothing_are_refused(tmp_path, stored, answer):
    rows = [{"question": "what?", "options": stored, "answer": answer}]
    with pytest.raises(ValueError, match=r"choices must be a list|must be one of the choices") as refusal:
        search_samples(tmp_path, rows, choices_as="text")
    assert "\n" not in str(refusal.value) and "row 0" in str(refusal.value)


def test_columns_numbered_from_one_are_answered_from_one(tmp_path):
    rows = [{"question": "what?", "option_1": "cat", "option_2": "dog", "answer": 1}] * 2
    assert search_samples(tmp_path, rows, choices_as="text")[0].answers == ("cat",)


def test_answer_as_is_one_of_the_readings():
    with pytest.raises(ValueError):
        DataSource(answer_as="number")
