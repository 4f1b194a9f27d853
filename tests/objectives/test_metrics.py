"""Metrics against hand-computed cases: VQA accuracy by the official rules, exact match, and those of likelihoods."""

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.metrics import (
    METRICS,
    Reads,
    exact_match,
    guess_metric,
    likeliest,
    likelihood,
    scores,
    strict_match,
    vqa,
)
from objectives.vqa import normalized

answers = st.lists(st.sampled_from(["yes", "no", "2", "red"]), min_size=1, max_size=10)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Yes", "yes"),
        ("  two   dogs\n", "2 dogs"),
        ("none", "0"),
        ("zero", "0"),
        ("ten", "10"),
        ("eleven", "eleven"),
        ("A dog", "dog"),
        ("the an a", "the an a"),
        ("an apple on the table", "apple on table"),
        ("theatre", "theatre"),
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("YOURE right", "you're right"),
        ("yall'd've", "y'all'd've"),
        ("lets go", "lets go"),
        ("im", "im"),
        ("hed", "he'd"),
        ("twas", "'twas"),
        ("red, white", "red white"),
        ("red,white", "red white"),
        ("1,000", "1000"),
        ("1,000 (one)", "1000 1"),
        ("t-shirt", "t shirt"),
        ("t- shirt", "t shirt"),
        ("- 5", "5"),
        ("what?", "what"),
        ("no!", "no"),
        ("dog.", "dog"),
        ("3.5", "3.5"),
        ("st. 5", "st 5"),
        ("10.", "10"),
        ("5 p.m.", "5 pm"),
        ("yes/no", "yes no"),
        ("yes/ no/maybe", "yes nomaybe"),
        ('"stop"', "stop"),
        ("don't", "don't"),
        ("x?y?) z", "x y z"),
        ("50%", "50%"),
        ("", ""),
    ],
)
def test_normalization(raw, expected):
    assert normalized(raw) == expected


@pytest.mark.slow
@given(st.text(max_size=20))
def test_normalized_is_in_one_space_and_without_articles(text):
    words = normalized(text).split(" ")
    assert words == [""] or all(words)
    assert "two" not in words
    articles = {"a", "an", "the"}
    assert not articles & set(words) or set(words) <= articles


@pytest.mark.parametrize(
    ("matches", "expected"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (9, 1.0), (10, 1.0)]
)
def test_of_ten_people(matches, expected):
    people = ["red"] * matches + [f"other {i}" for i in range(10 - matches)]
    assert vqa("red", people) == pytest.approx(expected)
    assert vqa("The RED.", people) == pytest.approx(expected)


def subsets_of_nine(prediction, people):
    """The official rule written out: every person left out once."""
    total = Fraction(0)
    for others in itertools.combinations(people, len(people) - 1):
        total += min(Fraction(sum(other == prediction for other in others), 3), Fraction(1))
    return total / len(people)


@given(answers.filter(lambda people: len(people) >= 4), st.sampled_from(["yes", "2", "blue"]))
def test_equals_the_average_over_the_subsets(people, prediction):
    assert vqa(prediction, people) == pytest.approx(float(subsets_of_nine(prediction, people)))


@given(answers, st.sampled_from(["yes", "no", "red"]), st.randoms())
def test_bounds_order_and_unanimity(people, prediction, random):
    value = vqa(prediction, people)
    assert 0 <= value <= 1
    assert (value > 0) == (prediction in people)
    assert vqa(prediction, random.sample(people, len(people))) == value
    assert vqa(prediction, [prediction] * len(people)) == 1


@pytest.mark.parametrize(
    ("prediction", "people", "expected"),
    [
        ("two", ["2"], 1),
        ("a cat", ["cat"], 1),
        ("cats", ["cat"], 0),
        ("cat", ["cat", "dog"], 1 / 2),
        ("cat", ["cat", "dog", "cow"], 1 / 3),
        ("cat", ["cat", "cat", "cow"], 2 / 3),
        ("one", ["1"] * 10, 1),
    ],
)
def test_few_answers(prediction, people, expected):
    assert vqa(prediction, people) == pytest.approx(expected)


SAME = [
    ("red", "red"),
    (" Red\n", "red"),
    ("red  car", "RED car"),
    ("Yes.", "yes"),
    ("yes,", "yes"),
    ("Yes!", "yes"),
    ('"Yes."', "yes"),
    ("**Yes**", "yes"),
    ("(b)", "B"),
    ("B)", "B"),
    ("the dog", "dog"),
    ("A dog.", "the dog"),
    ("on the table", "on table"),
    ("3.", "3"),
    ("The 'Mona Lisa'.", "mona lisa"),
    ("a", "A"),
    ("A.", "a"),
    ("はい。", "はい"),
    ("ｙｅｓ", "Yes."),
    ("１２．５", "12.5"),
    ("\u200fقطة", "قطة"),  # a mark of the writing direction
    ("cafe\u0301", "CAFÉ"),  # the accent as a character of its own
]
OTHER = [
    ("two", "2"),
    ("", "x"),
    ("", "A"),
    ("", "the"),
    ("", "?"),
    ("The", "A"),
    ("B", "A"),
    ("vitamin a", "vitamin"),
    ("-5", "5"),
    (".5", "5"),
    ("50%", "50"),
    ("$5", "5"),
    ("5'", "5"),
    ("5'", '5"'),
    ("C#", "C"),
    ("3.5", "35"),
    ("12:30", "1230"),
    ("yes, it is", "yes"),
    ("?", "!"),
    ("f(x)", "f(x"),
    ("5²", "52"),
    ("cafe", "café"),
]


@pytest.mark.parametrize(("prediction", "accepted"), SAME)
def test_exact_match_takes_no_offence_at_case_marks_and_articles(prediction, accepted):
    assert exact_match(prediction, ["blue", accepted]) == 1
    assert exact_match(accepted, [prediction]) == 1


@pytest.mark.parametrize(("prediction", "accepted"), OTHER)
def test_other_answers_are_no_exact_match(prediction, accepted):
    assert exact_match(prediction, ["blue", accepted]) == 0
    assert exact_match(accepted, [prediction]) == 0


@pytest.mark.parametrize(
    ("prediction", "people", "expected"),
    [
        ("red", ["red"], 1),
        (" Red\n", ["red"], 1),
        ("red  car", ["blue", "RED car"], 1),
        ("two", ["2"], 0),
        ("", ["x"], 0),
        ("Yes.", ["yes"], 0),
        ("the dog", ["dog"], 0),
        ("cafe\u0301", ["CAFÉ"], 1),
        ("ｙｅｓ", ["yes"], 0),
    ],
)
def test_strict_match(prediction, people, expected):
    assert strict_match(prediction, people) == expected


def test_an_answer_of_nothing_is_not_the_letter_a():
    """The official normalization leaves nothing of either."""
    assert vqa("", ["A"] * 10) == 0
    assert vqa("", ["?", "the", "a"]) == 0
    assert vqa("B", ["A"] * 10) == 0
    assert vqa("a.", ["A"] * 10) == 1
    assert vqa("a dog", ["dog"] * 10) == 1


def test_scores_find_the_metric():
    assert scores("vqa", ["two", "red"], [["2"], ["blue"]]) == [1.0, 0.0]
    assert scores("exact_match", ["two"], [["2"]]) == [0.0]


def test_the_first_questions_of_a_split_can_be_scored_alone():
    assert scores("exact_match", ["red"], [["red"], ["blue"], ["one"]]) == [1.0]


@pytest.mark.parametrize(
    "name", [name for name, each in METRICS.items() if each.reads is Reads.ANSWERS and not each.by_task]
)
@given(st.lists(st.tuples(st.text(max_size=12), st.lists(st.text(max_size=12), min_size=1, max_size=4)), min_size=2))
def test_every_score_is_from_0_to_1(name, cases):
    values = scores(name, [text for text, _ in cases], [people for _, people in cases])
    assert len(values) == len(cases)
    assert all(0 <= value <= 1 for value in values)


@pytest.mark.parametrize(
    ("name", "people", "message"),
    [
        ("vqq", ["2"], "did you mean 'vqa'?): known are exact_match, strict_match, vqa, anls, cider"),
        ("loss", ["2"], "unknown metric of generated answers 'loss'"),
        ("vqa", [], "answers must be a list of at least one text, got []: give ['the answer']"),
        ("vqa", "red", "answers must be a list of at least one text, got 'red': give ['the answer']"),
    ],
)
def test_wrong_use_is_refused(name, people, message):
    with pytest.raises(ValueError) as caught:
        scores(name, ["red"], [people])
    assert message in str(caught.value)


class TestChoice:
    def test_log_likelihoods_are_divided_by_the_number_of_characters(self):
        """-6 over 2 characters is less likely, a character, than -8 over 4."""
        assert likeliest([-6.0, -8.0], ["no", "blue"]) == "blue"
        assert likeliest([-3.0, -8.0], ["no", "blue"]) == "no"

    def test_letters_are_compared_as_they_are(self):
        assert likeliest([-2.0, -1.0, -1.5], ["A", "B", "C"]) == "B"

    def test_the_first_of_equals_wins(self):
        assert likeliest([-1.0, -1.0], ["A", "B"]) == "A"


def test_likelihood_is_the_geometric_mean_per_token():
    """Probabilities 1/2 and 1/8: the loss is (ln 2 + ln 8) / 2 = ln 4, so 1/4."""
    assert likelihood([math.log(1 / 2), math.log(1 / 8)]) == pytest.approx(1 / 4)
    assert likelihood([0.0]) == 1.0


@pytest.mark.parametrize(
    ("num_answers", "task", "name"),
    [
        ([1, 1, 1], {}, "exact_match"),
        ([1, 3, 2], {}, "exact_match"),
        ([10, 10], {}, "vqa"),
        ([5, 5], {"captions": True}, "cider"),
        ([1, 1], {"choices": True}, "choice"),
    ],
)
def test_the_usual_metric_of_a_task(num_answers, task, name):
    assert guess_metric(num_answers, **{"captions": False, "choices": False, **task}) == name
