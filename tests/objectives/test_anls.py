"""ANLS against cases worked out by hand, and edits against their recursive definition."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.anls import anls, edit_distance

letters = st.text(alphabet="abc ", max_size=6)


@pytest.mark.parametrize(
    ("prediction", "answers", "expected"),
    [
        ("coca cola", ["coca cola"], 1),
        (" Coca  COLA\n", ["coca cola"], 1),
        ("coca colas", ["coca cola"], 1 - 1 / 10),
        ("cola", ["coca cola"], 0),  # 5 of 9 letters differ: above the threshold
        ("ab", ["abcd"], 0),  # exactly 50 %: the paper's NL < 0.5 is not met
        ("abc", ["abcde"], 1 - 2 / 5),
        ("2009", ["2008", "2009."], 1 - 1 / 5),
        ("", ["x"], 0),
        ("", [""], 1),
    ],
)
def test_cases(prediction, answers, expected):
    assert anls(prediction, answers) == pytest.approx(expected)


@given(letters, letters)
def test_edits_are_the_recursive_ones(one, other):
    @cache
    def edits(i, j):
        if not i or not j:
            return i + j
        return min(edits(i - 1, j) + 1, edits(i, j - 1) + 1, edits(i - 1, j - 1) + (one[i - 1] != other[j - 1]))

    assert edit_distance(one, other) == edits(len(one), len(other))


@given(letters, st.lists(letters, min_size=1, max_size=4))
def test_more_answers_never_hurt(prediction, answers):
    assert anls(prediction, answers) == max(anls(prediction, [answer]) for answer in answers)
